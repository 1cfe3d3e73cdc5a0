//! Parts of a stack, and their deaths.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use fastrand::Rng;
use local::Stack;

use crate::book::{Book, Event};
use crate::plan::Act;

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

    /// Kills, and waits until the stack has started it again and it is ready.
    pub async fn perform(&self, stack: &Stack, book: &Book) -> Result<()> {
        let notes = match self.part {
            Part::Redis => vec![book.note(Event::Forgot), book.note(Event::Unchecked)],
            // Its successor must find Redis first.
            Part::Gateway => vec![book.note(Event::Unchecked)],
            Part::Nats | Part::Postgres | Part::Worker => vec![],
        };
        stack.kill(&self.process).await?;
        stack.ready(&self.process).await?;
        notes.into_iter().for_each(|note| book.over(note));
        Ok(())
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
