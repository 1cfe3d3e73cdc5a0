//! What will be sent, and before which delivery what will be done: all of it drawn from a seed, up front.
//!
//! Acts are bound to deliveries by count and not by time, so that a seed means the same on every machine.

use fastrand::Rng;

use crate::book::{Key, Sent, What};
use crate::catalog::{Place, Scope};
use crate::payload;

/// Why a delivery is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A key that was not used before.
    New,
    /// The same, to two gateways at once.
    Twin,
    /// A delivery that was sent before, once more.
    Duplicate,
    /// A key that was used before, with another payload or target.
    Conflict,
}

/// One delivery to be made, however many requests that takes.
#[derive(Clone, Debug)]
pub struct Sending {
    /// Its key.
    pub key: Key,
    /// What it says.
    pub what: What,
    /// The body as it is sent: the payload, perhaps with whitespace around it.
    pub body: String,
    /// The gateway that is tried first.
    pub gateway: usize,
    /// Why.
    pub kind: Kind,
}

impl Sending {
    /// The same once more, byte for byte.
    pub fn again(key: &Key, sent: &Sent) -> Self {
        let (what, body) = (sent.what.clone(), sent.body.clone());
        Self { key: key.clone(), what, body, gateway: 0, kind: Kind::Duplicate }
    }
}

/// Something to be done once so many deliveries have been begun.
#[derive(Clone, Debug)]
pub struct Act<T> {
    /// How many.
    pub at: usize,
    /// What.
    pub what: T,
}

/// Deliveries in the order in which they are begun.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The deliveries.
    pub sendings: Vec<Sending>,
}

/// Of a hundred deliveries, how many are of each kind; the others are new.
const TWINS: u32 = 7;
const DUPLICATES: u32 = 15;
const CONFLICTS: u32 = 8;
/// A duplicate or conflict is mostly of one of the last so many deliveries, which are likely to be under way still.
const RECENT: usize = 64;

impl Plan {
    /// Draws `deliveries` to these places.
    pub fn draw(rng: &mut Rng, deliveries: usize, places: &[Place], gateways: usize) -> Self {
        let mut sendings: Vec<Sending> = Vec::with_capacity(deliveries);
        // Keys of two runs must differ, as those of two days do.
        let batch = rng.u32(..);
        for number in 0..deliveries {
            let earlier = earlier(rng, &sendings).cloned();
            let (key, what, kind) = match (rng.u32(..100), earlier) {
                (roll, Some(earlier)) if roll < DUPLICATES => (earlier.key, earlier.what, Kind::Duplicate),
                (roll, Some(earlier)) if roll < DUPLICATES + CONFLICTS => {
                    let what = conflicting(rng, &earlier.what, number, places);
                    (earlier.key, what, Kind::Conflict)
                }
                (roll, _) => {
                    let place = rng.usize(..places.len());
                    let key = Key { scope: places[place].scope(), key: key(rng, batch, number) };
                    let kind = if roll >= 100 - TWINS { Kind::Twin } else { Kind::New };
                    (key, new(rng, place, number, places), kind)
                }
            };
            let body = payload::pad(rng, &what.payload);
            sendings.push(Sending { key, what, body, gateway: rng.usize(..gateways), kind });
        }
        Self { sendings }
    }
}

fn earlier<'a>(rng: &mut Rng, sendings: &'a [Sending]) -> Option<&'a Sending> {
    let from = if rng.u8(..4) > 0 { sendings.len().saturating_sub(RECENT) } else { 0 };
    (!sendings.is_empty()).then(|| &sendings[rng.usize(from..sendings.len())])
}

fn new(rng: &mut Rng, place: usize, number: usize, places: &[Place]) -> What {
    let mut one_of = |slugs: Vec<&String>| (rng.u8(..10) == 0).then(|| slugs[rng.usize(..slugs.len())].clone());
    let project = one_of(places[place].projects.keys().collect());
    let template = one_of(places[place].templates.keys().collect());
    What { place, project, template, payload: payload::draw(rng, number) }
}

/// Another payload; or the same to another target; or, where the organization is the scope, to another playbook.
fn conflicting(rng: &mut Rng, what: &What, number: usize, places: &[Place]) -> What {
    let own = &places[what.place];
    let others: Vec<usize> = (0..places.len())
        .filter(|other| *other != what.place && own.unique == Scope::Organization)
        .filter(|other| places[*other].organization == own.organization)
        .collect();
    match rng.u8(..4) {
        0 if !others.is_empty() => What { place: others[rng.usize(..others.len())], ..what.clone() },
        1 => {
            // Naming what is the default anyway is another target too: defaults may change.
            let named = own.projects.keys().next().cloned();
            What { project: if what.project.is_some() { None } else { named }, ..what.clone() }
        }
        _ => What { payload: payload::draw(rng, number), ..what.clone() },
    }
}

/// Mostly what people use; sometimes every character that is allowed, or as many as are.
fn key(rng: &mut Rng, batch: u32, number: usize) -> String {
    let mut key = format!("{batch:08x}-{number}");
    let more = match rng.u8(..50) {
        0 => 255 - key.len(),
        1 => rng.usize(..20),
        _ => 0,
    };
    key.extend(std::iter::repeat_with(|| rng.char('!'..='~')).take(more));
    key
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;
    use crate::catalog::Ids;

    fn places() -> Vec<Place> {
        let ids = Ids { organization: Uuid::nil(), playbook: Uuid::nil(), project: Uuid::nil(), template: Uuid::nil() };
        let place = |playbook: &str, unique| Place {
            organization: "acme".to_owned(),
            playbook: playbook.to_owned(),
            unique,
            ids,
            projects: [("main".to_owned(), Uuid::nil())].into(),
            templates: [("plain".to_owned(), Uuid::nil())].into(),
        };
        vec![place("one", Scope::Organization), place("two", Scope::Organization), place("three", Scope::Playbook)]
    }

    fn draw(seed: u64) -> Vec<Sending> {
        Plan::draw(&mut Rng::with_seed(seed), 2_500, &places(), 2).sendings
    }

    #[test]
    fn a_seed_always_means_the_same_and_another_something_else() {
        let same =
            |a: &Sending, b: &Sending| (&a.key, &a.what, &a.body, a.gateway) == (&b.key, &b.what, &b.body, b.gateway);
        assert!(draw(7).iter().zip(&draw(7)).all(|(a, b)| same(a, b)));
        assert!(!draw(7).iter().zip(&draw(8)).any(|(a, b)| same(a, b)));
    }

    /// What a plan calls a duplicate is one, and a conflict another.
    #[test]
    fn kinds_are_what_they_say() {
        let mut known: BTreeSet<&Key> = BTreeSet::new();
        let sendings = draw(1);
        for (index, sending) in sendings.iter().enumerate() {
            let same = |other: &&Sending| other.key == sending.key && other.what == sending.what;
            match sending.kind {
                Kind::New | Kind::Twin => assert!(!known.contains(&sending.key)),
                Kind::Duplicate => assert!(sendings[..index].iter().any(|other| same(&other))),
                Kind::Conflict => {
                    assert!(known.contains(&sending.key));
                    assert!(
                        sendings[..index].iter().any(|other| other.key == sending.key && other.what != sending.what)
                    );
                }
            }
            assert_eq!(sending.body.trim_matches([' ', '\t', '\r', '\n']), sending.what.payload);
            assert!(proto::Payload::parse(sending.body.as_bytes()).is_ok(), "{}", sending.body);
            assert!(proto::IdempotencyKey::from_bytes(sending.key.key.as_bytes()).is_ok());
            known.insert(&sending.key);
        }
        for kind in [Kind::New, Kind::Twin, Kind::Duplicate, Kind::Conflict] {
            assert!(sendings.iter().filter(|sending| sending.kind == kind).count() > 100, "{kind:?}");
        }
    }
}
