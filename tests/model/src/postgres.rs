//! Postgres, after COMMIT, and what its operator does there. What a transaction has not committed is the worker's
//! ([`crate::worker`]).

use crate::delivery::{Case, DELIVERIES, Delivery, Key, RUNS, RunId};
use crate::mutants::Mutation;
use crate::protocol::Protocol;
use crate::queue::Item;
use crate::state::State;
use crate::step::Step;

/// Committed rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Postgres {
    /// `runs`, by its primary key.
    runs: [Option<Delivery>; RUNS],
    /// `dead_letters`, by delivery: how many, which is one at most unless a mutant does without the unique index.
    dead_letters: [u8; 2],
    /// By delivery: its dead letter was replayed, and is closed.
    replayed: [bool; 2],
    /// The project or template that both are for was deleted.
    target_gone: bool,
}

impl Postgres {
    /// The run of this id.
    pub fn run(&self, id: RunId) -> Option<Delivery> {
        self.runs[id.index()]
    }

    /// Runs that a key has got.
    pub fn runs_of(&self, case: Case, key: Key) -> usize {
        self.runs.iter().flatten().filter(|delivery| case.key(**delivery) == key).count()
    }

    /// True if there is a run with this content.
    pub fn has_run(&self, delivery: Delivery) -> bool {
        self.runs.contains(&Some(delivery))
    }

    /// Dead letters with this content.
    pub fn dead_letters(&self, delivery: Delivery) -> u8 {
        self.dead_letters[delivery.index()]
    }

    /// True if it has ended, as one or the other.
    pub fn has_ended(&self, delivery: Delivery) -> bool {
        self.has_run(delivery) || self.dead_letters(delivery) > 0
    }

    /// True if nobody has ended as both, or twice as one. A dead letter that was replayed has become a run.
    pub fn ended_once(&self) -> bool {
        let open = |delivery: Delivery| self.dead_letters(delivery) - u8::from(self.replayed[delivery.index()]);
        DELIVERIES.iter().all(|delivery| u8::from(self.has_run(*delivery)) + open(*delivery) <= 1)
    }

    /// True if no row can be made for it now.
    pub fn target_is_gone(&self) -> bool {
        self.target_gone
    }

    /// A run, with its transaction.
    pub fn commit_run(&mut self, item: Item) {
        self.runs[item.run.index()] = Some(item.delivery);
    }

    /// A dead letter, with its transaction.
    pub fn commit_dead_letter(&mut self, delivery: Delivery) {
        let count = &mut self.dead_letters[delivery.index()];
        *count = (*count + 1).min(2);
    }
}

impl Protocol {
    /// What an operator may do, where the model is to look at that.
    pub fn operator_may(&self, state: &State, mut step: impl FnMut(Step)) {
        if !self.targets_go {
            return;
        }
        let Postgres { runs, target_gone, dead_letters, replayed } = state.postgres;
        let inserted = |run: RunId| state.workers.iter().flatten().any(|hand| hand.holds(run));
        let untouched = runs == [None; RUNS] && !RunId::all().any(inserted);
        // A foreign key keeps what a run is for, and waits for whoever inserts one.
        if !target_gone && untouched {
            step(Step::TargetGoes);
        }
        // Two transactions would not see each other: one that buries what it found gone, and one that inserts the same.
        let too_soon = state.workers.iter().flatten().any(|hand| hand.buries() || hand.waits());
        if target_gone && (!too_soon || self.mutation == Some(Mutation::TargetReturnsTooSoon)) {
            step(Step::TargetReturns);
        }
        for delivery in DELIVERIES {
            let open = dead_letters[delivery.index()] > 0 && !replayed[delivery.index()];
            let run = self.case.run_id(delivery, self.mutation);
            // It inserts as a worker does: waits for a rival, and gives way.
            let gives_way = self.other_run(state, run, delivery) || inserted(run);
            if open && !target_gone && !gives_way {
                step(Step::Replay(delivery));
            }
        }
    }

    fn other_run(&self, state: &State, run: RunId, delivery: Delivery) -> bool {
        state.postgres.run(run).is_some_and(|other| other != delivery)
    }

    /// Deleted, or back under the same id.
    pub fn target_goes(&self, state: &mut State, gone: bool) {
        state.postgres.target_gone = gone;
    }

    /// Makes a run of a dead letter, and closes it in the same transaction.
    pub fn replay(&self, state: &mut State, delivery: Delivery) {
        let run = self.case.run_id(delivery, self.mutation);
        state.postgres.commit_run(Item { delivery, run });
        state.postgres.replayed[delivery.index()] = true;
    }
}
