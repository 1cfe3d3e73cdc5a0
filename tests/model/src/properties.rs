//! The invariants, as the design numbers them.
//!
//! I5 (Redis is an accelerator) is I1 to I3 here: Redis may forget and fall silent at any step, any number of times. I7
//! is about words, not about order, and is no matter for a model.

use stateright::Property;

use crate::client::Wrong;
use crate::delivery::{Case, DELIVERIES, Delivery};
use crate::protocol::Protocol;
use crate::state::State;

/// What must hold in every state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    /// I1.
    OneRun,
    /// I2.
    OneName,
    /// I3, never neither.
    NeverNeither,
    /// I3, never both, never twice.
    NeverBoth,
    /// I3, sooner or later.
    ComesToRest,
    /// I4.
    OneAnswer,
    /// I6.
    NoConflictWithItself,
}

impl Name {
    /// All.
    pub const ALL: [Self; 7] = [
        Self::OneRun,
        Self::OneName,
        Self::NeverNeither,
        Self::NeverBoth,
        Self::ComesToRest,
        Self::OneAnswer,
        Self::NoConflictWithItself,
    ];

    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::OneRun => "I1: a key has at most one run",
            Self::OneName => "I2: every 2xx for a key names the same run",
            Self::NeverNeither => "I3: at rest, what was answered 2xx is a run or a dead letter",
            Self::NeverBoth => "I3: nothing is both a run and a dead letter, or a dead letter twice",
            Self::ComesToRest => "I3: what is left alone comes to rest",
            Self::OneAnswer => "I4: while the claim lives, only one of two deliveries is answered 2xx",
            Self::NoConflictWithItself => "I6: a retry is no conflict where nothing else was sent",
        }
    }

    /// As a property of the model.
    pub fn property(self) -> Property<Protocol> {
        Property::always(
            self.text(),
            match self {
                Self::OneRun => one_run,
                Self::OneName => |_, state| state.book.wrong != Some(Wrong::SecondName),
                Self::NeverNeither => never_neither,
                Self::NeverBoth => |_, state| state.postgres.ended_once(),
                Self::ComesToRest => comes_to_rest,
                Self::OneAnswer => one_answer,
                Self::NoConflictWithItself => |_, state| state.book.wrong != Some(Wrong::ConflictWithItself),
            },
        )
    }
}

fn one_run(protocol: &Protocol, state: &State) -> bool {
    DELIVERIES.iter().all(|delivery| state.postgres.runs_of(protocol.case, protocol.case.key(*delivery)) <= 1)
}

fn never_neither(_: &Protocol, state: &State) -> bool {
    let ended = |delivery: &Delivery| !state.book.is_owed(*delivery) || state.postgres.has_ended(*delivery);
    !state.is_at_rest() || DELIVERIES.iter().all(ended)
}

/// Every step that leads on comes nearer to rest, and where there is no rest yet there is such a step.
fn comes_to_rest(protocol: &Protocol, state: &State) -> bool {
    state.book.wrong != Some(Wrong::Astray) && (state.is_at_rest() || protocol.can_go_on(state))
}

fn one_answer(protocol: &Protocol, state: &State) -> bool {
    protocol.case == Case::PlaybookScope || !state.book.vouched_for_both()
}

impl Protocol {
    fn can_go_on(&self, state: &State) -> bool {
        let mut can = false;
        self.goes_on(state, |_| can = true);
        can
    }
}
