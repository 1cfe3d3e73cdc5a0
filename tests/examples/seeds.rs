//! Looks for seeds whose short rounds do much that is of a kind: `cargo run --example seeds -- "kill " "freeze " …` prints
//! few rounds that do together all that begins so. For who changes how faults are drawn, and with it what every seed means.

use std::collections::BTreeSet;
use std::io::Write;

use harness::chaos::{Script, Size};

/// Seeds looked at for each round.
const SEEDS: u64 = 300_000;

fn main() {
    let starts: Vec<_> = std::env::args().skip(1).collect();
    let kinds = |seed| {
        let kinds = Script::of(seed, Size::SHORT).1.faults().into_keys();
        kinds.filter(|kind| starts.iter().any(|start| kind.starts_with(start))).collect::<BTreeSet<_>>()
    };
    let mut left: BTreeSet<_> = (0..5_000).flat_map(kinds).collect();
    while !left.is_empty() {
        let gain = |seed: &u64| kinds(*seed).intersection(&left).count();
        let Some(seed) = (1..SEEDS).rev().max_by_key(gain) else { return };
        let found = kinds(seed);
        let others = Script::of(seed, Size::SHORT).1.faults().into_keys().filter(|kind| !found.contains(kind));
        let others = others.collect::<Vec<_>>().join(", ");
        say(&format!("{seed}\n  {}\n  and: {others}", found.iter().cloned().collect::<Vec<_>>().join(", ")));
        left.retain(|kind| !found.contains(kind));
    }
}

fn say(text: &str) {
    // Who reads it may have gone away.
    _ = writeln!(std::io::stdout(), "{text}");
}
