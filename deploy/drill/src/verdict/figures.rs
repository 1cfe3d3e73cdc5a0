//! Counts, for people and for the closing line of a run.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::found::Found;

/// What happened, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Keys used.
    pub keys: usize,
    /// Different deliveries: key, target and payload.
    pub deliveries: usize,
    /// Requests that carried them.
    pub requests: usize,
    /// Answers by status and code.
    pub answered: BTreeMap<String, usize>,
    /// Requests after which the same had to be sent again: no answer, or one that asks for it.
    pub retried: usize,
    /// Deliveries answered 2xx at least once.
    pub accepted: usize,
    /// Answers 2xx.
    pub accepted_answers: usize,
    /// Deliveries accepted although their key had another, because Redis could not say so; each must be a dead letter.
    pub conflicts_accepted: usize,
    /// Checks deferred although nothing was done to Redis at the time.
    pub deferred_unexplained: usize,
    /// Rows of `runs`.
    pub rows: usize,
    /// Dead letters by reason.
    pub dead_letters: BTreeMap<String, usize>,
    /// Deliveries that the workers found to have their run already.
    pub duplicates_dropped: u64,
    /// Deliveries answered 2xx that are neither run nor dead letter.
    pub lost: usize,
    /// Deliveries answered 2xx by a stream that was lost, not sent again since, and not there.
    pub gone_with_the_stream: usize,
    /// Keys with more than one run, and deliveries that are run and dead letter.
    pub doubled: usize,
}

impl Figures {
    /// Adds what Postgres counts by itself.
    pub(super) fn tell(&mut self, found: &Found) {
        self.rows = found.rows.len();
        self.dead_letters = found.reasons();
        self.duplicates_dropped = found.settled.duplicates;
    }

    /// Adds the figures of another run.
    pub fn add(&mut self, other: &Self) {
        self.keys += other.keys;
        self.deliveries += other.deliveries;
        self.requests += other.requests;
        self.retried += other.retried;
        self.accepted += other.accepted;
        self.accepted_answers += other.accepted_answers;
        self.conflicts_accepted += other.conflicts_accepted;
        self.deferred_unexplained += other.deferred_unexplained;
        self.rows += other.rows;
        self.duplicates_dropped += other.duplicates_dropped;
        self.lost += other.lost;
        self.gone_with_the_stream += other.gone_with_the_stream;
        self.doubled += other.doubled;
        for (mine, theirs) in [(&mut self.answered, &other.answered), (&mut self.dead_letters, &other.dead_letters)] {
            for (name, count) in theirs {
                *mine.entry(name.clone()).or_default() += count;
            }
        }
    }
}
