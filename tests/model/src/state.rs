//! All that there is at one moment, and how far it is from rest.

use crate::client::Book;
use crate::gateway::{self, Gateways};
use crate::postgres::Postgres;
use crate::queue::{Queue, Sequence};
use crate::redis::Redis;
use crate::worker::{self, Worker};

/// A moment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct State {
    /// What senders did and were told.
    pub book: Book,
    /// Gateways, and what they have in hand.
    pub gateways: Gateways,
    /// Claims.
    pub redis: Redis,
    /// Messages.
    pub queue: Queue,
    /// Workers, and what they have in hand.
    pub workers: [Worker; 2],
    /// Rows.
    pub postgres: Postgres,
}

impl State {
    /// Before anything was sent.
    pub fn new(requests: u8) -> Self {
        Self {
            book: Book::new(requests),
            gateways: Gateways::default(),
            redis: Redis::default(),
            queue: Queue::default(),
            workers: [None; 2],
            postgres: Postgres::default(),
        }
    }

    /// True if a worker has this message in hand.
    pub fn is_in_hand(&self, place: Sequence) -> bool {
        self.workers.iter().flatten().any(|hand| hand.place == Some(place))
    }

    /// Nothing is under way. Marks are not waited for: they may be lost.
    pub fn is_at_rest(&self) -> bool {
        self.gateways.requests == [None; gateway::REQUESTS] && self.queue.is_empty() && self.workers == [None; 2]
    }

    /// A number that every step which leads on makes smaller. So a system that is left alone comes to rest, if only it
    /// never stands still before.
    pub fn distance_from_rest(&self) -> u32 {
        let requests = self.gateways.requests.iter().flatten().map(|request| match request.stage {
            gateway::Stage::Claimed | gateway::Stage::Waiting => 30,
            gateway::Stage::Sent { .. } => 3,
        });
        let messages = self.queue.messages().map(|(place, _)| if self.is_in_hand(place) { 4 } else { 14 });
        let workers = self.workers.iter().flatten().map(|hand| match hand.stage {
            worker::Stage::Blocked { .. } if hand.is_unsettled(&self.postgres) => 11,
            worker::Stage::Inserted { .. } if hand.is_unsettled(&self.postgres) => 10,
            worker::Stage::Pulled if !hand.alone => 9,
            worker::Stage::Blocked { .. } => 8,
            worker::Stage::Inserted { .. } if !hand.alone => 7,
            worker::Stage::Pulled => 6,
            worker::Stage::Inserted { .. } => 3,
            worker::Stage::Decided { .. } => 2,
            worker::Stage::Committed => 1,
        });
        requests.chain(messages).chain(workers).sum()
    }
}
