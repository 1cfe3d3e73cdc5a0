//! The JetStream stream: messages of one or two deliveries, given to workers until they are acked; once in its life lost
//! as a whole and made anew.
//!
//! It redelivers without bound: any message that is not acked may be given to any idle worker at any time, whether or
//! not another has it in hand. That covers ack waits that ran out, acks that got lost, and workers that died.

use crate::delivery::{Delivery, RunId, Target};
use crate::mutants::Mutation;
use crate::protocol::Protocol;
use crate::state::State;
use crate::step::Step;

/// Most messages that a stream can hold: one for each request.
pub const MESSAGES: usize = 4;

/// Which incarnation of the stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Epoch(u8);

impl Epoch {
    /// How many streams were lost before this one.
    pub fn losses(self) -> u8 {
        self.0
    }
}

/// A delivery in a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Item {
    /// Its content.
    pub delivery: Delivery,
    /// The run that it is to become.
    pub run: RunId,
    /// What that is for.
    pub target: Target,
}

/// What goes out together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Message {
    /// The first.
    pub first: Item,
    /// Behind it, if two were waiting.
    pub second: Option<Item>,
}

impl Message {
    /// In order.
    pub fn items(&self) -> impl Iterator<Item = Item> {
        [Some(self.first), self.second].into_iter().flatten()
    }
}

/// Where in the stream a message is.
///
/// Its sequence, where that matters; else any number, as messages are told apart by their place only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Sequence(u8);

impl Sequence {
    /// All that there can be.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..MESSAGES as u8).map(Self)
    }

    /// Position in tables with a cell for each place.
    pub fn index(self) -> usize {
        self.0.into()
    }
}

/// The stream, as it is now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Queue {
    /// Its incarnation.
    pub epoch: Epoch,
    /// Not settled yet.
    messages: [Option<Message>; MESSAGES],
    /// Messages stored so far; counted only where sequences matter.
    stored: u8,
    /// The broker's memory of message ids, by the number of deliveries; used only by the mutant that computes them.
    ids: [bool; 2],
}

impl Queue {
    /// Stores a message in the first free place.
    pub fn store(&mut self, message: Message) {
        let free = self.messages.iter_mut().find(|place| place.is_none());
        *free.expect("there is room for a message of each request") = Some(message);
    }

    /// Stores a message under the next sequence.
    pub fn append(&mut self, message: Message) {
        self.messages[usize::from(self.stored)] = Some(message);
        self.stored += 1;
    }

    /// True if the broker has seen a message of this id within its window. From now on it has.
    pub fn knows_id(&mut self, message: &Message) -> bool {
        std::mem::replace(&mut self.ids[usize::from(message.second.is_some())], true)
    }

    /// What is not settled.
    pub fn messages(&self) -> impl Iterator<Item = (Sequence, Message)> {
        Sequence::all().filter_map(|sequence| Some((sequence, self.messages[sequence.index()]?)))
    }

    /// An ack for this place: its message is settled, if it is there.
    pub fn settle(&mut self, sequence: Sequence) {
        self.messages[sequence.index()] = None;
    }

    /// Nothing is waiting.
    pub fn is_empty(&self) -> bool {
        self.messages().next().is_none()
    }

    /// Lost, with all that it held, and made anew.
    pub fn lose(&mut self) {
        *self = Self { epoch: Epoch(self.epoch.0 + 1), ..Self::default() };
    }

    /// Puts the messages into an order that depends on `rank` alone; returns where each has moved.
    pub fn sort_by<R: Ord>(&mut self, rank: impl Fn(Sequence, Message) -> R) -> [Sequence; MESSAGES] {
        let mut order: [u8; MESSAGES] = std::array::from_fn(|index| index as u8);
        let before = self.messages;
        // None is last.
        order.sort_by_key(|index| {
            let message = before[usize::from(*index)];
            (message.is_none(), message.map(|message| rank(Sequence(*index), message)))
        });
        self.messages = order.map(|index| before[usize::from(index)]);
        let mut moved = [Sequence(0); MESSAGES];
        for (place, before) in order.into_iter().enumerate() {
            moved[usize::from(before)] = Sequence(place as u8);
        }
        moved
    }
}

impl Protocol {
    /// What may happen to the stream.
    pub fn queue_may(&self, state: &State, mut step: impl FnMut(Step)) {
        if state.queue.epoch.losses() < self.stream_losses {
            step(Step::LoseStream);
        }
        if self.mutation == Some(Mutation::StreamForgets) {
            let idle = state.queue.messages().filter(|(place, _)| !state.is_in_hand(*place));
            idle.for_each(|(place, _)| step(Step::LoseMessage(place)));
        }
    }

    /// The stream is lost. Whoever has a message of it in hand goes on with it, but has nothing to ack.
    pub fn lose_stream(&self, state: &mut State) {
        state.queue.lose();
        state.book.stream_lost();
        if self.mutation == Some(Mutation::ConsumerOutlivesStream) {
            return;
        }
        for hand in state.workers.iter_mut().flatten() {
            hand.place = None;
        }
    }
}
