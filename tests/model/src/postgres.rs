//! Postgres, after COMMIT, and what its operator does there. What a transaction has not committed is the worker's
//! ([`crate::worker`]).

use crate::delivery::{Case, DELIVERIES, Delivery, Key, RUNS, RunId, Target};
use crate::protocol::Protocol;
use crate::queue::Item;
use crate::state::State;
use crate::step::Step;

/// Committed rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Postgres {
    /// `runs`, by its primary key.
    runs: [Option<(Delivery, Target)>; RUNS],
    /// `dead_letters`, by delivery: how many, which is one at most unless a mutant does without the unique index.
    dead_letters: [u8; 2],
    /// By delivery: its dead letter was replayed, and is closed.
    replayed: [bool; 2],
    /// The first target was deleted.
    target_gone: bool,
}

impl Postgres {
    /// The run of this id.
    pub fn run(&self, id: RunId) -> Option<Delivery> {
        self.runs[id.index()].map(|(delivery, _)| delivery)
    }

    /// Runs that a key has got.
    pub fn runs_of(&self, case: Case, key: Key) -> usize {
        self.runs.iter().flatten().filter(|(delivery, _)| case.key(*delivery) == key).count()
    }

    /// True if there is a run with this content.
    pub fn has_run(&self, delivery: Delivery) -> bool {
        self.runs.iter().flatten().any(|(other, _)| *other == delivery)
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
    pub fn is_gone(&self, target: Target) -> bool {
        self.target_gone && target == Target::First
    }

    /// A run, with its transaction.
    pub fn commit_run(&mut self, item: Item) {
        self.runs[item.run.index()] = Some((item.delivery, item.target));
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
        let hands = || state.workers.iter().flatten();
        let is_used = runs.iter().flatten().any(|(_, target)| *target == Target::First)
            || hands().any(|hand| hand.inserted().any(|item| item.target == Target::First));
        // Triggers keep what a run is for (migration V6), and wait for whoever inserts one.
        if !target_gone && !is_used {
            step(Step::TargetGoes);
        }
        if target_gone {
            step(Step::TargetReturns);
        }
        for delivery in DELIVERIES {
            let open = dead_letters[delivery.index()] > 0 && !replayed[delivery.index()];
            let run = self.case.run_id(delivery, self.mutation);
            // It inserts as a worker does: waits for a rival, and gives way.
            let gives_way = self.other_run(state, run, delivery) || hands().any(|hand| hand.holds(run));
            if open && !gives_way {
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

    /// Makes a run of a dead letter, for what is there, and closes it in the same transaction.
    pub fn replay(&self, state: &mut State, delivery: Delivery) {
        let run = self.case.run_id(delivery, self.mutation);
        let target = if state.postgres.is_gone(Target::First) { Target::Second } else { Target::First };
        state.postgres.commit_run(Item { delivery, run, target });
        state.postgres.replayed[delivery.index()] = true;
    }
}
