//! Holds what was answered against what is there.
//!
//! Every rule below is exact in both directions: what the design allows, however rare, is no violation, and what it
//! does not allow is one even where it does no harm. Where the book cannot know what happened (no answer came, a 503),
//! all that may have happened is allowed, and no more.

mod case;
mod figures;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Serialize;
use uuid::Uuid;

use crate::book::{Key, Record, Sent};
use crate::catalog::Place;
use crate::found::{Found, Letter, Row};

use case::Case;
pub use figures::Figures;

/// What can be violated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
pub enum Invariant {
    /// One key, one row at most.
    I1,
    /// Every 2xx of a key names the same run.
    I2,
    /// What was answered 2xx is a run with its payload or a dead letter with its reason; and nothing else is there.
    I3,
    /// While the claim lives, another payload is answered 409, and the same one is not.
    I4,
    /// What was not answered 2xx can be sent again, until it is.
    I6,
    /// What an answer says: codes, headers, the original timestamp.
    #[serde(rename = "contract")]
    Contract,
    /// `runlatch audit`: settled and pending make up the stream.
    #[serde(rename = "audit")]
    Audit,
}

impl Invariant {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [Self::I1, Self::I2, Self::I3, Self::I4, Self::I6, Self::Contract, Self::Audit];

    /// In a few words.
    pub const fn means(self) -> &'static str {
        match self {
            Self::I1 => "one run at most for each key",
            Self::I2 => "every 2xx of a key names the same run",
            Self::I3 => "every 2xx is a run or a dead letter",
            Self::I4 => "a known key's other payload is a 409",
            Self::I6 => "what was not accepted could be retried",
            Self::Contract => "answers say what they should",
            Self::Audit => "every message of the stream is settled",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contract => f.write_str("contract"),
            Self::Audit => f.write_str("audit"),
            numbered => write!(f, "{numbered:?}"),
        }
    }
}

/// Something that must not be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Violation {
    /// What it violates.
    pub invariant: Invariant,
    /// The key, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{} {key}: {}", self.invariant, self.text),
            None => write!(f, "{} {}", self.invariant, self.text),
        }
    }
}

/// Figures, and what is wrong.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// Counts.
    pub figures: Figures,
    /// Empty where all is well.
    pub violations: Vec<Violation>,
}

impl Verdict {
    /// Whether nothing is violated.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// How many violations of this there are.
    pub fn count(&self, invariant: Invariant) -> usize {
        self.violations.iter().filter(|violation| violation.invariant == invariant).count()
    }
}

/// What Postgres holds under one key.
#[derive(Default)]
struct Held<'a> {
    rows: Vec<&'a Row>,
    letters: Vec<&'a Letter>,
}

/// Judges what was sent to `places`.
///
/// So many checks may be deferred for no reason, however few are sent: see [`ONE_STALL`].
pub fn judge(record: &Record, places: &[Place], found: &Found, one_stall: usize) -> Verdict {
    let mut verdict = Verdict::default();
    let mut held = by_key(places, found, &mut verdict.violations);
    let mut named: HashMap<Uuid, &Key> = HashMap::new();
    for (key, sents) in &record.keys {
        let Held { rows, letters } = held.remove(key).unwrap_or_default();
        let case = Case { record, places, key, sents, rows, letters };
        case.judge(&mut verdict);
        for run in case.runs() {
            if let Some(other) = named.insert(run, key).filter(|other| *other != key) {
                let text = format!("names run {run}, as key {} of {} does", other.key, other.scope);
                verdict.violations.push(violation(Invariant::I2, Some(key), text));
            }
        }
    }
    for (key, held) in held {
        let text = format!("was never sent: {} rows, {} dead letters", held.rows.len(), held.letters.len());
        verdict.violations.push(violation(Invariant::I3, Some(&key), text));
    }
    checks_are_made(&mut verdict, one_stall);
    verdict.figures.tell(found);
    verdict
}

/// Deliveries that were accepted and are gone with a stream that was lost. What else is not there stays so, to be judged.
pub fn missing<'a>(record: &'a Record, places: &[Place], found: &Found) -> Vec<(&'a Key, &'a Sent)> {
    let mut held = by_key(places, found, &mut vec![]);
    let cases = record.keys.iter().flat_map(|(key, sents)| {
        let Held { rows, letters } = held.remove(key).unwrap_or_default();
        let case = Case { record, places, key, sents, rows, letters };
        sents.iter().filter(|sent| case.is_gone(sent)).map(|sent| (key, sent)).collect::<Vec<_>>()
    });
    cases.collect()
}

/// Of a hundred answers, so many may say that their check was deferred although nothing was done to Redis: it was the
/// machine that stood still, and the gateways' patience is for that.
const STALLS: usize = 1;
/// What one moment at which the machine stands still may catch on its way, however few are sent in all: few, where gateways
/// have patience.
pub const ONE_STALL: usize = 10;

/// A system that never checks could be blamed for nothing that a deferred check explains.
fn checks_are_made(verdict: &mut Verdict, one_stall: usize) {
    let (unexplained, accepted) = (verdict.figures.deferred_unexplained, verdict.figures.accepted_answers);
    if unexplained > one_stall && unexplained * 100 > accepted * STALLS {
        let text = format!("{unexplained} of {accepted} checks were deferred while nothing was wrong with Redis");
        verdict.violations.push(violation(Invariant::I4, None, text));
    }
}

fn violation(invariant: Invariant, key: Option<&Key>, text: String) -> Violation {
    Violation { invariant, key: key.map(|key| format!("{}:{}", key.scope, key.key)), text }
}

fn by_key<'a>(places: &[Place], found: &'a Found, violations: &mut Vec<Violation>) -> BTreeMap<Key, Held<'a>> {
    let scopes: HashMap<Uuid, String> = places.iter().map(|place| (place.ids.playbook, place.scope())).collect();
    let mut held: BTreeMap<Key, Held<'a>> = BTreeMap::new();
    for row in &found.rows {
        match scopes.get(&row.ids.playbook) {
            Some(scope) => held.entry(Key { scope: scope.clone(), key: row.key.clone() }).or_default().rows.push(row),
            None => {
                violations.push(violation(Invariant::I3, None, format!("run {} is of no playbook sent to", row.id)))
            }
        }
    }
    for letter in &found.letters {
        match (letter.ids.and_then(|ids| scopes.get(&ids.playbook)), &letter.key) {
            (Some(scope), Some(key)) => {
                held.entry(Key { scope: scope.clone(), key: key.clone() }).or_default().letters.push(letter);
            }
            // Nothing that a gateway publishes is malformed, and nothing that was sent kills workers by what it says.
            _ => {
                let text = format!("a message was buried whole: {}", letter.reason);
                violations.push(violation(Invariant::I3, None, text));
            }
        }
    }
    held
}
