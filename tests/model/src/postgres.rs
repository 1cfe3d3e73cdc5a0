//! Postgres, after COMMIT. What a transaction has not committed is the worker's ([`crate::worker`]).

use crate::delivery::{Case, DELIVERIES, Delivery, Key, RUNS, RunId};
use crate::queue::Item;

/// Committed rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Postgres {
    /// `runs`, by its primary key.
    runs: [Option<Delivery>; RUNS],
    /// `dead_letters`, by delivery: how many, which is one at most unless a mutant does without the unique index.
    dead_letters: [u8; 2],
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

    /// True if nobody has ended as both, or twice as one.
    pub fn ended_once(&self) -> bool {
        DELIVERIES.iter().all(|delivery| u8::from(self.has_run(*delivery)) + self.dead_letters(*delivery) <= 1)
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
