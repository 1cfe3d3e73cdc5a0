//! Chaos with fixed seeds; `make soak` is where new ones come from. A seed that failed once stays here, with a word on
//! what it found. `SEED=n SIZE=short make soak` plays one alone. A failure of any kind, a hang too, comes with the list.

use harness::chaos::{Script, Size, round};

/// Plays rounds one after the other: each has eight to eleven processes for itself.
async fn rounds(seeds: &[u64]) {
    for seed in seeds {
        // Shown only of a test that fails.
        eprintln!("seed {seed}, {:?}\n{}", Size::SHORT, Script::of(*seed, Size::SHORT).1);
        let outcome = round(*seed, Size::SHORT).await;
        let figures = &outcome.figures;
        assert!(figures.rows == figures.keys && outcome.faults.len() > 3, "{seed}: {outcome:?}");
    }
}

/// Gateways, workers and servers die, freeze, and are restarted; Postgres refuses writes.
#[tokio::test]
async fn deaths() {
    rounds(&[2, 14]).await;
}

/// Redis forgets and refuses; the catalog changes under its senders; wires fail.
#[tokio::test]
async fn changes() {
    rounds(&[3, 16]).await;
}

/// The stream is deleted under way. 26 found that a delivery with a known payload and another target was not sent again
/// by its sender here, and so was missing: an error of this harness.
#[tokio::test]
async fn lost_streams() {
    rounds(&[26]).await;
}
