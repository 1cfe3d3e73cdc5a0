//! The oracle's own book: what was sent, what was answered, and what was done to the system meanwhile.
//!
//! Times are counted from the book's first page. What has no answer is written down before it is sent, so that a
//! request which nobody ever heard of again is in the book too.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use uuid::Uuid;

use crate::plan::Sending;

/// An idempotency key within its scope: what may have one run at most.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Key {
    /// Playbook or organization, as [`Place::scope`](crate::Place::scope) names it.
    pub scope: String,
    /// As it was sent.
    pub key: String,
}

/// What a delivery says. Two requests of one key that say the same are the same delivery.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct What {
    /// Which playbook, by its place among the [`places`](crate::places).
    pub place: usize,
    /// `?project=`.
    pub project: Option<String>,
    /// `?template=`.
    pub template: Option<String>,
    /// The body without the whitespace around it.
    pub payload: String,
}

/// What came back for one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// 2xx.
    Accepted {
        /// 200, 201 or 202.
        code: u16,
        /// `runId`.
        run: Uuid,
        /// `timestamp`.
        timestamp: String,
        /// `Idempotency-Check: deferred`.
        deferred: bool,
    },
    /// Anything else, with the contract's error body.
    Refused {
        /// Status.
        code: u16,
        /// `error`.
        error: String,
        /// `runId`, which a 409 has.
        run: Option<Uuid>,
    },
    /// No whole answer, and why.
    Nothing(String),
    /// A whole answer that the contract does not have, and in what way.
    Wrong(String),
}

impl Answer {
    /// True if sending the same again is of no use: it is accepted, or refused for what it is.
    pub fn is_definite(&self) -> bool {
        match self {
            Self::Accepted { .. } => true,
            Self::Refused { code, .. } => matches!(code, 400 | 405 | 409 | 413 | 422),
            Self::Nothing(_) | Self::Wrong(_) => false,
        }
    }

    /// True if the delivery may have been published although nobody was told so.
    pub fn may_be_published(&self) -> bool {
        match self {
            Self::Accepted { .. } | Self::Nothing(_) | Self::Wrong(_) => true,
            Self::Refused { code, error, .. } => *code >= 500 && error != "overloaded",
        }
    }

    /// How the figures count it.
    pub fn label(&self) -> String {
        match self {
            Self::Accepted { code, deferred: true, .. } => format!("{code} deferred"),
            Self::Accepted { code, .. } => code.to_string(),
            Self::Refused { code, error, .. } => format!("{code} {error}"),
            Self::Nothing(_) => "no answer".to_owned(),
            Self::Wrong(_) => "wrong".to_owned(),
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Which gateway it went to.
    pub gateway: usize,
    /// When it was begun.
    pub begun: Duration,
    /// When its answer was there, or given up on; none while it is under way.
    pub ended: Option<Duration>,
    /// What came back; `Nothing` while it is under way.
    pub answer: Answer,
}

impl Attempt {
    /// When its effect on the system was over. Who was not answered does not know: it may be yet to come.
    pub fn over(&self) -> Duration {
        match (&self.answer, self.ended) {
            (Answer::Nothing(_), _) | (_, None) => Duration::MAX,
            (_, Some(ended)) => ended,
        }
    }
}

/// One delivery, and every request that carried it.
#[derive(Clone, Debug)]
pub struct Sent {
    /// What it says.
    pub what: What,
    /// The body that first said it, whitespace and all.
    pub body: String,
    /// In the order in which they were begun.
    pub attempts: Vec<Attempt>,
}

/// Something that was done to the system and that changes what may be expected of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Redis lost all it knew, at some moment within.
    Forgot,
    /// The stream was lost at some moment within, with what it held; at its end every gateway knows the new one.
    StreamLost,
    /// A playbook, its secret or a switch is not as the senders know it, or this gateway has not heard yet that it is:
    /// 401 and 404 are to be expected there.
    Catalog {
        /// By its number.
        gateway: usize,
        /// Which playbook, by its place among the [`places`](crate::places).
        place: usize,
    },
    /// Redis was not well, or this gateway could not hear it or does not trust it yet: checks may be deferred there.
    Unchecked {
        /// By its number.
        gateway: usize,
    },
}

impl Event {
    /// The gateway that it is about, where it is about one.
    pub const fn gateway(self) -> Option<usize> {
        match self {
            Self::Catalog { gateway, .. } | Self::Unchecked { gateway } => Some(gateway),
            Self::Forgot | Self::StreamLost => None,
        }
    }
}

/// An [`Event`] and its time.
#[derive(Clone, Debug)]
pub struct Note {
    /// What.
    pub event: Event,
    /// Not before.
    pub from: Duration,
    /// Not after; none while it goes on.
    pub to: Option<Duration>,
}

impl Note {
    /// True if it may have happened within.
    pub fn meets(&self, from: Duration, to: Duration) -> bool {
        self.from <= to && self.to.is_none_or(|end| from <= end)
    }
}

/// All that is in a book.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// What the clock said when the book was opened, milliseconds since 1970.
    pub opened: u64,
    /// By key, in the order in which their first requests were begun.
    pub keys: BTreeMap<Key, Vec<Sent>>,
    /// In no order.
    pub notes: Vec<Note>,
}

/// A [`Record`] that is being written.
pub struct Book {
    opened: Instant,
    record: Mutex<Record>,
}

/// Where the answer to a request goes.
#[must_use]
pub struct Ticket {
    key: Key,
    sent: usize,
    attempt: usize,
}

impl Default for Book {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let opened = u64::try_from(since.as_millis()).unwrap_or_default();
        Self { opened: Instant::now(), record: Mutex::new(Record { opened, ..Record::default() }) }
    }
}

impl Book {
    /// Now, in the book's time.
    pub fn now(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Writes down a request that is about to be sent.
    pub fn begin(&self, sending: &Sending, gateway: usize) -> Ticket {
        let Sending { key, what, body, .. } = sending;
        let begun = self.now();
        let attempt = Attempt { gateway, begun, ended: None, answer: Answer::Nothing("under way".to_owned()) };
        let mut record = self.lock();
        let sents = record.keys.entry(key.clone()).or_default();
        let sent = sents.iter().position(|sent| sent.what == *what).unwrap_or_else(|| {
            sents.push(Sent { what: what.clone(), body: body.clone(), attempts: vec![] });
            sents.len() - 1
        });
        sents[sent].attempts.push(attempt);
        Ticket { key: key.clone(), sent, attempt: sents[sent].attempts.len() - 1 }
    }

    /// Writes down its answer.
    pub fn end(&self, ticket: &Ticket, answer: Answer) {
        let ended = Some(self.now());
        let mut record = self.lock();
        let attempts = record.keys.get_mut(&ticket.key).map(|sents| &mut sents[ticket.sent].attempts);
        if let Some(attempt) = attempts.and_then(|attempts| attempts.get_mut(ticket.attempt)) {
            attempt.ended = ended;
            attempt.answer = answer;
        }
    }

    /// Writes down that something begins now. Its number is for [`Book::over`].
    pub fn note(&self, event: Event) -> usize {
        let from = self.now();
        let mut record = self.lock();
        record.notes.push(Note { event, from, to: None });
        record.notes.len() - 1
    }

    /// Writes down that it is over. The first word stays.
    pub fn over(&self, note: usize) {
        let now = self.now();
        if let Some(note) = self.lock().notes.get_mut(note) {
            note.to.get_or_insert(now);
        }
    }

    /// What is in it now.
    pub fn record(&self) -> Record {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        // Never left half written, so a panic elsewhere does not matter.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
