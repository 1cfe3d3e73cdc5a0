//! The senders, and the book that is kept of what they were told.
//!
//! A sender may send either delivery at any time to any gateway, again and at once too: a retry, a duplicate and a
//! burst are all just requests. So a request that was not answered is not told apart from one that was refused; the book
//! holds only what somebody may rely on.

use crate::delivery::{Case, DELIVERIES, Delivery, RunId};
use crate::protocol::Protocol;
use crate::queue::Epoch;
use crate::state::State;

/// Something that must not happen, found in the step that does it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Wrong {
    /// A 2xx named another run than one before it for the same key (I2).
    SecondName,
    /// 409 although nothing else was sent under the key (I6).
    ConflictWithItself,
    /// A step that should lead to rest did not come nearer to it (I3).
    Astray,
}

/// What senders did and were told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Book {
    /// Requests that may still be sent.
    pub left: u8,
    /// By delivery: it was sent.
    pub sent: [bool; 2],
    /// By delivery: answered 2xx, on evidence from the stream that exists. What a stream held that was lost is owed
    /// again once a retry is answered.
    owed: [bool; 2],
    /// By delivery: answered 2xx on Redis' word, with Redis never emptied so far.
    vouched: [bool; 2],
    /// By key: the run that a 2xx named.
    named: [Option<RunId>; 2],
    /// The claim did not live all the time.
    pub forgot: bool,
    /// The first wrong that was seen.
    pub wrong: Option<Wrong>,
}

/// A 2xx.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Answer {
    /// To whom.
    pub delivery: Delivery,
    /// The run that it names.
    pub run: RunId,
    /// The stream that has, or had, the delivery.
    pub evidence: Epoch,
    /// Without `Idempotency-Check: deferred`.
    pub vouched: bool,
}

impl Book {
    /// Nothing was sent yet.
    pub fn new(requests: u8) -> Self {
        Self {
            left: requests,
            sent: [false; 2],
            owed: [false; 2],
            vouched: [false; 2],
            named: [None; 2],
            forgot: false,
            wrong: None,
        }
    }

    /// Deliveries that may be sent next: `A` is the first.
    pub fn next(&self) -> &'static [Delivery] {
        match (self.left, self.sent) {
            (0, _) => &[],
            (_, [false, _]) => &DELIVERIES[..1],
            _ => &DELIVERIES,
        }
    }

    /// Sends one.
    pub fn send(&mut self, delivery: Delivery) {
        self.left -= 1;
        self.sent[delivery.index()] = true;
    }

    /// True if it was answered 2xx and the stream that was evidence for that was not lost since.
    pub fn is_owed(&self, delivery: Delivery) -> bool {
        self.owed[delivery.index()]
    }

    /// True if both were answered 2xx on Redis' word, and Redis never forgot.
    pub fn vouched_for_both(&self) -> bool {
        self.vouched == [true; 2]
    }

    /// Notes the first wrong.
    pub fn note(&mut self, wrong: Wrong) {
        self.wrong.get_or_insert(wrong);
    }

    /// A lost stream may take with it what was answered; retries heal that.
    pub fn stream_lost(&mut self) {
        self.owed = [false; 2];
    }

    /// What nothing can depend on any more: what is owed and done, and who was vouched for by claims that are gone.
    pub fn tidy(&mut self, ended: impl Fn(Delivery) -> bool) {
        for delivery in DELIVERIES {
            self.owed[delivery.index()] &= !ended(delivery);
        }
        if self.forgot {
            self.vouched = [false; 2];
        }
        if self.left == 0 {
            self.sent = [true; 2];
        }
    }
}

impl Protocol {
    /// A caller reads 201, 202 or 200.
    pub fn answer(&self, state: &mut State, answer: Answer) {
        let book = &mut state.book;
        let name = book.named[self.case.key(answer.delivery).index()].get_or_insert(answer.run);
        if *name != answer.run {
            book.note(Wrong::SecondName);
        }
        book.owed[answer.delivery.index()] |= answer.evidence == state.queue.epoch;
        book.vouched[answer.delivery.index()] |= answer.vouched && !book.forgot;
    }

    /// A caller reads 409: some other delivery has the key.
    pub fn refuse(&self, state: &mut State, delivery: Delivery) {
        let one_key = self.case != Case::PlaybookScope;
        let other_was_sent = DELIVERIES.iter().any(|other| *other != delivery && state.book.sent[other.index()]);
        if !(one_key && other_was_sent) {
            state.book.note(Wrong::ConflictWithItself);
        }
    }
}
