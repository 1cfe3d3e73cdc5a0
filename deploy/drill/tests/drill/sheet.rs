//! A book and a database, made up line by line.

use std::time::Duration;

use drill::{
    Answer, Attempt, Event, Found, Ids, Invariant, Key, Letter, Note, ONE_STALL, Place, Record, Row, Scope, Sent,
    Verdict, What, judge, missing,
};
use proto::{Fingerprint, Payload, PlaybookId, Selector};
use uuid::Uuid;

/// The run that every answer names unless told otherwise.
pub(crate) const RUN: Uuid = Uuid::from_u128(1);
/// When the book was opened, milliseconds since 1970.
const OPENED: u64 = 1_000_000_000;

pub(crate) struct Sheet {
    record: Record,
    found: Found,
    places: Vec<Place>,
    gateway: usize,
}

/// The first gateway defers checks for good reason.
pub(crate) const UNCHECKED: Event = Event::Unchecked { gateway: 0 };
/// The first playbook is not known to the first gateway.
pub(crate) const CATALOG: Event = Event::Catalog { gateway: 0, place: 0 };

/// The timestamp of a moment, in the book's milliseconds.
pub(crate) fn at(ms: u64) -> String {
    proto::Timestamp::from_millis(OPENED + ms).unwrap().to_string()
}

pub(crate) fn created(ms: u64) -> Answer {
    Answer::Accepted { code: 202, run: RUN, timestamp: at(ms), deferred: false }
}

pub(crate) fn deferred(ms: u64) -> Answer {
    Answer::Accepted { code: 202, run: RUN, timestamp: at(ms), deferred: true }
}

pub(crate) fn replayed(ms: u64) -> Answer {
    Answer::Accepted { code: 200, run: RUN, timestamp: at(ms), deferred: false }
}

pub(crate) fn refused(code: u16, error: &str) -> Answer {
    Answer::Refused { code, error: error.to_owned(), run: (code == 409).then_some(RUN) }
}

pub(crate) fn conflict() -> Answer {
    refused(409, "idempotency_conflict")
}

pub(crate) fn unavailable() -> Answer {
    refused(503, "unavailable")
}

pub(crate) fn nothing() -> Answer {
    Answer::Nothing("connection".to_owned())
}

/// What delivery `a`, `b` … says: a payload of its own, to the first playbook.
pub(crate) fn what(name: &str) -> What {
    What { place: 0, project: None, template: None, payload: format!(r#"{{"name":"{name}"}}"#) }
}

impl Sheet {
    pub(crate) fn new() -> Self {
        let id = |number| Uuid::from_u128(number);
        let place = |playbook: &str, number| Place {
            organization: "acme".to_owned(),
            playbook: playbook.to_owned(),
            unique: Scope::Organization,
            ids: Ids { organization: id(10), playbook: id(number), project: id(20), template: id(30) },
            projects: [("main".to_owned(), id(20)), ("side".to_owned(), id(21))].into(),
            templates: [("plain".to_owned(), id(30))].into(),
        };
        let record = Record { opened: OPENED, ..Record::default() };
        Self { record, found: Found::default(), places: vec![place("one", 11), place("two", 12)], gateway: 0 }
    }

    /// What is sent from here on goes to this gateway, instead of the first.
    pub(crate) fn through(mut self, gateway: usize) -> Self {
        self.gateway = gateway;
        self
    }

    /// A request under key `k`, begun and answered at these moments.
    pub(crate) fn send(self, what: What, begun: u64, ended: u64, answer: Answer) -> Self {
        self.send_as("k", what, begun, ended, answer)
    }

    pub(crate) fn send_as(mut self, key: &str, what: What, begun: u64, ended: u64, answer: Answer) -> Self {
        let key = Key { scope: "acme".to_owned(), key: key.to_owned() };
        let (begun, ended) = (Duration::from_millis(begun), Some(Duration::from_millis(ended)));
        let attempt = Attempt { gateway: self.gateway, begun, ended, answer };
        let sents = self.record.keys.entry(key).or_default();
        match sents.iter_mut().find(|sent| sent.what == what) {
            Some(sent) => sent.attempts.push(attempt),
            None => sents.push(Sent { body: what.payload.clone(), what, attempts: vec![attempt] }),
        }
        self
    }

    pub(crate) fn note(mut self, event: Event, from: u64, to: u64) -> Self {
        let (from, to) = (Duration::from_millis(from), Some(Duration::from_millis(to)));
        self.record.notes.push(Note { event, from, to });
        self
    }

    /// As [`Sheet::note`], of what goes on.
    pub(crate) fn note_since(mut self, event: Event, from: u64) -> Self {
        self.record.notes.push(Note { event, from: Duration::from_millis(from), to: None });
        self
    }

    /// So many keys with a run each, sent every 100 ms from `from` on.
    pub(crate) fn keys(mut self, name: &str, count: u64, from: u64, answer: impl Fn(u64) -> Answer) -> Self {
        for number in 0..count {
            let (key, begun) = (format!("{name}{number}"), from + 100 * number);
            let id = Uuid::from_u128(u128::from(number + 10_000 * u64::from(name.as_bytes()[0])));
            let Answer::Accepted { code, timestamp, deferred, .. } = answer(begun + 1) else { panic!("not accepted") };
            let answer = Answer::Accepted { code, run: id, timestamp, deferred };
            self = self.send_as(&key, what("a"), begun, begun + 5, answer);
            self = self.row(what("a"), begun + 1, |row| (row.id, row.key) = (id, key));
        }
        self
    }

    /// The run of key `k`, accepted at this moment.
    pub(crate) fn run(self, what: What, accepted: u64) -> Self {
        self.row(what, accepted, |_| {})
    }

    /// As [`Sheet::run`], but not quite.
    pub(crate) fn row(mut self, what: What, accepted: u64, spoil: impl FnOnce(&mut Row)) -> Self {
        let place = &self.places[what.place];
        let mut row = Row {
            id: RUN,
            ids: place.target(what.project.as_ref(), what.template.as_ref()).unwrap(),
            key: "k".to_owned(),
            fingerprint: fingerprint(place, &what),
            payload: what.payload.clone(),
            accepted_at: at(accepted),
        };
        spoil(&mut row);
        self.found.rows.push(row);
        self
    }

    /// A dead letter of key `k`, with a timestamp that an answer had.
    pub(crate) fn letter(self, what: What) -> Self {
        self.buried(what, |_| {})
    }

    /// As [`Sheet::letter`], but not quite.
    pub(crate) fn buried(mut self, what: What, spoil: impl FnOnce(&mut Letter)) -> Self {
        let place = &self.places[what.place];
        let sents = self.record.keys.values().flatten().filter(|sent| sent.what == what);
        let timestamp = |attempt: &Attempt| match &attempt.answer {
            Answer::Accepted { timestamp, .. } => Some(timestamp.clone()),
            _ => None,
        };
        let accepted_at = sents.flat_map(|sent| &sent.attempts).find_map(timestamp);
        let mut letter = Letter {
            reason: "idempotency_conflict".to_owned(),
            run: Some(RUN),
            ids: place.target(what.project.as_ref(), what.template.as_ref()),
            project: what.project.clone(),
            template: what.template.clone(),
            key: Some("k".to_owned()),
            fingerprint: fingerprint(place, &what),
            payload: what.payload.clone().into_bytes(),
            accepted_at: accepted_at.unwrap_or_default(),
        };
        spoil(&mut letter);
        self.found.letters.push(letter);
        self
    }

    /// The deliveries that a lost stream has taken, by key and payload.
    pub(crate) fn missing(&self) -> Vec<(String, String)> {
        let missing = missing(&self.record, &self.places, &self.found);
        missing.into_iter().map(|(key, sent)| (key.key.clone(), sent.what.payload.clone())).collect()
    }

    pub(crate) fn verdict(&self) -> Verdict {
        judge(&self.record, &self.places, &self.found, ONE_STALL)
    }

    #[track_caller]
    pub(crate) fn holds(self) {
        let verdict = self.verdict();
        assert!(verdict.is_clean(), "{verdict}");
        assert_eq!((verdict.figures.lost, verdict.figures.doubled), (0, 0));
    }

    /// Whatever else it may violate, it violates this, and says so in these words.
    #[track_caller]
    pub(crate) fn violates(self, invariant: Invariant, words: &str) {
        let verdict = self.verdict();
        let named = |violation: &&drill::Violation| violation.invariant == invariant && violation.text.contains(words);
        assert!(verdict.violations.iter().any(|violation| named(&violation)), "{invariant} {words:?}: {verdict}");
    }
}

fn fingerprint(place: &Place, what: &What) -> Vec<u8> {
    let slug = |slug: &Option<String>| slug.as_ref().map(|slug| slug.parse().unwrap());
    let selector = Selector { project: slug(&what.project), template: slug(&what.template) };
    let payload = Payload::parse(what.payload.as_bytes()).unwrap();
    Fingerprint::compute(PlaybookId(place.ids.playbook), &selector, &payload).0.to_vec()
}
