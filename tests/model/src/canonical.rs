//! States that cannot be told apart are one: this is what makes the whole space small enough to be seen.
//!
//! Two kinds, both exact. *Symmetry*: the two gateways are alike, so are the two workers, and messages of a stream are
//! told apart by nothing but their content and who has them in hand. *What nobody reads*: claims, marks and known epochs
//! once no request is left to be judged by them; and the content of a message that is only to be acked.

use crate::gateway::{REQUESTS, Stage};
use crate::protocol::Protocol;
use crate::queue::Message;
use crate::redis::Redis;
use crate::state::State;
use crate::worker;

impl Protocol {
    /// The one of all equivalent states that stands for them.
    pub fn canonical(&self, mut state: State) -> State {
        let State { book, gateways, redis, queue, workers, postgres } = &mut state;
        book.tidy(|delivery| postgres.has_ended(delivery));
        if book.left == 0 && !self.reads_claims_later() {
            *redis = Redis::default();
            gateways.marks = [None; REQUESTS];
            gateways.known = [queue.epoch; 2];
            for request in gateways.requests.iter_mut().flatten() {
                if let Stage::Sent { known, .. } = &mut request.stage {
                    *known = queue.epoch;
                    request.gateway = 0;
                }
            }
        }
        if !self.sequences_matter() {
            for worker in workers.iter_mut() {
                match worker {
                    Some(hand) if hand.stage == worker::Stage::Committed && hand.place.is_none() => *worker = None,
                    Some(hand) if hand.stage == worker::Stage::Committed => {
                        hand.message = Message { first: hand.message.first, second: None };
                    }
                    _ => {}
                }
            }
        }
        gateways.sort();
        self.sort_workers(&mut state);
        state
    }

    /// Without reduction: only the order of lists is settled, which steps rely on.
    pub fn sorted(&self, mut state: State) -> State {
        state.gateways.requests.sort_unstable();
        state.gateways.marks.sort_unstable();
        state
    }

    fn sort_workers(&self, state: &mut State) {
        let mut other = *state;
        other.workers.swap(0, 1);
        if !self.sequences_matter() {
            sort_messages(state);
            sort_messages(&mut other);
        }
        if (other.workers, other.queue) < (state.workers, state.queue) {
            *state = other;
        }
    }
}

fn sort_messages(state: &mut State) {
    let workers = state.workers;
    let moved = state.queue.sort_by(|place, message| {
        (message, workers.map(|worker| worker.is_some_and(|hand| hand.place == Some(place))))
    });
    for hand in state.workers.iter_mut().flatten() {
        hand.place = hand.place.map(|place| moved[place.index()]);
    }
}
