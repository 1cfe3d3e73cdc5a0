//! Redis: what it remembers of a key. At any moment, any number of times, it may forget everything, come back with what it
//! once held, or leave a question unanswered (I5).

use crate::delivery::{DELIVERIES, Delivery, Key, RunId};
use crate::protocol::Protocol;
use crate::queue::Epoch;
use crate::state::State;
use crate::step::Step;

/// How far the delivery that holds the key has got.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Mark {
    /// Somebody claimed the key; its owner may be in flight, or dead.
    Claimed,
    /// It was published while the stream of this epoch was known.
    Published(Epoch),
}

/// Value under a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Claim {
    /// Stands for the fingerprint.
    pub delivery: Delivery,
    /// The key's run. As good as the key itself, but for the mutant that draws it.
    pub run: RunId,
    /// How far it has got.
    pub mark: Mark,
}

/// Redis.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Redis {
    claims: [Option<Claim>; 2],
}

impl Redis {
    /// `GET`.
    pub fn get(&self, key: Key) -> Option<Claim> {
        self.claims[key.index()]
    }

    /// `SET … NX GET`: what was there, or nothing, and then the key is claimed.
    pub fn set_if_absent(&mut self, key: Key, claim: Claim) -> Option<Claim> {
        let held = self.get(key);
        self.claims[key.index()] = held.or(Some(claim));
        held
    }

    /// `SET … XX`: the whole value, where there is one.
    pub fn set_if_present(&mut self, key: Key, claim: Claim) {
        if let Some(held) = &mut self.claims[key.index()] {
            *held = claim;
        }
    }

    /// Nothing to forget.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Protocol {
    /// What may happen to Redis. What it held before are claims of what was sent, and marks that were left.
    pub fn redis_may(&self, state: &State, mut step: impl FnMut(Step)) {
        if !state.redis.is_empty() {
            step(Step::Forget);
        }
        if state.book.left > 0 {
            state.gateways.left_marks().for_each(|mark| step(Step::Restore(mark)));
            for delivery in DELIVERIES.into_iter().filter(|delivery| state.book.sent[delivery.index()]) {
                let run = self.case.run_id(delivery, self.mutation);
                step(Step::Restore(Claim { delivery, run, mark: Mark::Claimed }));
            }
        }
    }

    /// Emptied: restarted without its data, evicted, flushed, expired.
    pub fn forget(&self, state: &mut State) {
        state.redis = Redis::default();
        state.book.forgot = true;
    }

    /// A replica that lagged takes over, or an old snapshot is loaded.
    pub fn restore(&self, state: &mut State, claim: Claim) {
        state.redis.claims[self.claim_key(claim.delivery).index()] = Some(claim);
        state.book.forgot = true;
    }
}
