//! Parts of a stack, and their deaths.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use fastrand::Rng;
use futures_util::future::join_all;
use local::Stack;

use crate::book::{Book, Event};
use crate::canary::checks;
use crate::catalog::Place;
use crate::client::Client;
use crate::plan::Act;
use crate::verdict::{Invariant, Violation};

/// A part that can be killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Comes back empty.
    Redis,
    /// Comes back with what it had acknowledged.
    Nats,
    /// Comes back with what it had committed.
    Postgres,
    /// One of them.
    Gateway,
    /// One of them.
    Worker,
}

impl Part {
    /// All, in the order in which they are killed unless told otherwise.
    pub const ALL: [Self; 5] = [Self::Redis, Self::Nats, Self::Postgres, Self::Gateway, Self::Worker];

    /// As the operator writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Nats => "nats",
            Self::Postgres => "postgres",
            Self::Gateway => "gateway",
            Self::Worker => "worker",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|part| part.name() == text);
        found.ok_or_else(|| format!("expected {}, or none", Self::ALL.map(Self::name).join(", ")))
    }
}

/// The death of a process, SIGKILL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kill {
    /// Which part it is.
    pub part: Part,
    /// Its name in the stack.
    pub process: String,
}

impl Kill {
    /// Spreads one kill of each part over so many deliveries; of several gateways or workers one is drawn.
    pub fn spread(rng: &mut Rng, parts: &[Part], deliveries: usize, of_each: usize) -> Vec<Act<Self>> {
        let step = deliveries as f64 / (parts.len() + 1) as f64;
        let kill = |(index, part): (usize, &Part)| {
            let process = match part {
                Part::Gateway | Part::Worker => format!("{part}-{}", rng.usize(1..=of_each)),
                _ => part.to_string(),
            };
            // Not evenly: two runs shall not kill at the same distance.
            let at = (index + 1) as f64 * step + (rng.f64() - 0.5) * step * 0.5;
            Act { at: at as usize, what: Self { part: *part, process } }
        };
        parts.iter().enumerate().map(kill).collect()
    }

    /// Kills, and waits until the stack has started it again, it is ready, and keys are checked as before. What does not
    /// come about of this is a violation; but a server that does not come back has nothing to do with what is drilled.
    pub async fn perform(
        &self,
        stack: &Stack,
        client: &Client,
        book: &Book,
        places: &[Place],
    ) -> Result<Vec<Violation>> {
        let forgot = (self.part == Part::Redis).then(|| book.note(Event::Forgot));
        let deaf = (0..client.gateways()).filter(|gateway| match self.part {
            Part::Redis => true,
            // Its successor must find Redis first.
            Part::Gateway => self.process == format!("gateway-{}", gateway + 1),
            Part::Nats | Part::Postgres | Part::Worker => false,
        });
        let deaf: Vec<_> = deaf.map(|gateway| (gateway, book.note(Event::Unchecked { gateway }))).collect();
        stack.kill(&self.process).await?;
        forgot.into_iter().for_each(|note| book.over(note));
        if let Err(error) = stack.ready(&self.process).await {
            let invariant = match self.part {
                Part::Gateway => Invariant::I6,
                Part::Worker => Invariant::I3,
                Part::Redis | Part::Nats | Part::Postgres => return Err(error),
            };
            let text = format!("{} was killed and did not come back: {error:#}", self.process);
            return Ok(vec![Violation { invariant, key: None, text }]);
        }
        let heard = deaf.into_iter().map(async |(gateway, note)| {
            let violation = checks(client, book, places, gateway, 1).await;
            book.over(note);
            violation
        });
        Ok(join_all(heard).await.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_named_dies_once_in_its_turn() {
        let kills = Kill::spread(&mut Rng::with_seed(1), &Part::ALL, 1000, 2);
        assert_eq!(kills.iter().map(|kill| kill.what.part).collect::<Vec<_>>(), Part::ALL);
        assert!(kills.is_sorted_by(|a, b| a.at < b.at) && kills[0].at > 50 && kills[4].at < 950, "{kills:?}");
        assert!(Kill::spread(&mut Rng::with_seed(1), &[], 1000, 2).is_empty());
    }
}
