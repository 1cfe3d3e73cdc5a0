//! Chaos with fixed seeds; `make soak` is where new ones come from. A seed that failed once stays here with its size, and a
//! word on what it found. `SEED=n SIZE=short make soak` plays one alone. A failure of any kind, a hang too, comes with the
//! list of what was done.
//!
//! What a seed means changes with how faults are drawn. So each test is held to what it is named for, and all of them together
//! to everything that a short round can do; `cargo run --example seeds` finds others.

use std::collections::BTreeSet;

use harness::chaos::{Script, Size, round};

/// Seeds, and the beginnings of the kinds of faults that they are here for.
struct Rounds {
    seeds: &'static [(u64, Size)],
    does: &'static [&'static str],
}

/// Gateways, workers and servers die, freeze, and are restarted.
const DEATHS: Rounds =
    Rounds { seeds: &[(20_036, Size::SHORT), (2_879, Size::SHORT)], does: &["kill ", "freeze ", "stop "] };

/// Redis forgets and refuses, Postgres refuses; the catalog changes under its senders.
const CHANGES: Rounds = Rounds {
    seeds: &[(57_535, Size::SHORT), (3, Size::SHORT)],
    does: &[
        "redis: ",
        "lock runs",
        "postgres read-only",
        "terminate sessions",
        "disable",
        "kill switch",
        "rename",
        "rotate secret",
    ],
};

/// What gateways send or hear is slow, hangs, is cut, half closed, refused, or swallowed.
const WIRES_OF_GATEWAYS: Rounds = Rounds {
    seeds: &[(7_944, Size::SHORT), (65_631, Size::SHORT), (17_736, Size::SHORT)],
    does: &["wire from Gateway"],
};

/// And workers.
const WIRES_OF_WORKERS: Rounds =
    Rounds { seeds: &[(16_629, Size::SHORT), (88_667, Size::SHORT)], does: &["wire from Worker"] };

/// The stream is deleted under way.
const LOST_STREAMS: Rounds = Rounds { seeds: &[(9, Size::SHORT)], does: &["delete stream"] };

impl Rounds {
    /// Plays them one after the other: each has eight to eleven processes for itself.
    async fn play(&self) {
        let mut done = BTreeSet::new();
        for (seed, size) in self.seeds {
            // Shown only of a test that fails.
            eprintln!("seed {seed}, {size:?}\n{}", Script::of(*seed, *size).1);
            let outcome = round(*seed, *size).await;
            let figures = &outcome.figures;
            eprintln!("{figures}");
            assert!(figures.rows == figures.keys && figures.deliveries > size.deliveries / 2, "{seed}: {outcome:?}");
            done.extend(outcome.faults.into_keys());
        }
        self.is_what_it_is_here_for(&done);
    }

    /// That the kinds done are all there are of those named.
    fn is_what_it_is_here_for(&self, done: &BTreeSet<String>) {
        let mut wanted = possible();
        wanted.retain(|kind| self.does.iter().any(|start| kind.starts_with(start)));
        let missed: Vec<_> = wanted.difference(done).collect();
        assert!(!wanted.is_empty() && missed.is_empty(), "{:?} do not do {missed:?}", self.seeds);
    }
}

/// Every kind of fault that a short round can do.
fn possible() -> BTreeSet<String> {
    (0..3_000).flat_map(|seed| Script::of(seed, Size::SHORT).1.faults().into_keys()).collect()
}

#[test]
fn the_rounds_do_all_that_a_short_round_can() {
    let done = |rounds: &Rounds| -> BTreeSet<String> {
        rounds.seeds.iter().flat_map(|(seed, size)| Script::of(*seed, *size).1.faults().into_keys()).collect()
    };
    let mut missed = possible();
    assert!(missed.len() > 50, "{missed:?}");
    for rounds in [&DEATHS, &CHANGES, &WIRES_OF_GATEWAYS, &WIRES_OF_WORKERS, &LOST_STREAMS] {
        let done = done(rounds);
        rounds.is_what_it_is_here_for(&done);
        missed.retain(|kind| !done.contains(kind));
    }
    assert!(missed.is_empty(), "no round does {missed:?}");
}

#[tokio::test]
async fn deaths() {
    DEATHS.play().await;
}

#[tokio::test]
async fn changes() {
    CHANGES.play().await;
}

#[tokio::test]
async fn wires_of_gateways() {
    WIRES_OF_GATEWAYS.play().await;
}

#[tokio::test]
async fn wires_of_workers() {
    WIRES_OF_WORKERS.play().await;
}

#[tokio::test]
async fn lost_streams() {
    LOST_STREAMS.play().await;
}
