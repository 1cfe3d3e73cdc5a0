//! `make soak`: chaos with new seeds, round after round, until the time is up or something is violated.
//!
//! `MINUTES=n`: how long (20). `SEED=n`: one round, of this seed. `SIZE=short`: rounds as `make test` has them; `long`
//! where nothing is said.

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use drill::Figures;
use futures_util::FutureExt;
use harness::chaos::{Script, Size, round};

#[tokio::main]
async fn main() -> ExitCode {
    let number = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty()).map(|text| text.parse::<u64>());
    let (Ok(minutes), Ok(seed)) = (number("MINUTES").transpose(), number("SEED").transpose()) else {
        say("MINUTES and SEED are numbers");
        return ExitCode::from(64);
    };
    let name = std::env::var("SIZE").ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "long".to_owned());
    let Some(size) = Size::named(&name) else {
        say("SIZE is short or long");
        return ExitCode::from(64);
    };
    let began = Instant::now();
    let time = Duration::from_secs(60 * minutes.unwrap_or(20));
    let (mut figures, mut faults) = (Figures::default(), BTreeMap::<String, usize>::new());
    for nth in 1.. {
        let seed = seed.unwrap_or_else(|| fastrand::u64(1..1_000_000_000));
        let since = Instant::now();
        // A panic is a violation, or something that did not recover or hangs.
        let Ok(outcome) = AssertUnwindSafe(round(seed, size)).catch_unwind().await else {
            say(&format!(
                "{script}round {nth} FAILED. The same again: make soak SEED={seed} SIZE={name}",
                script = Script::of(seed, size).1
            ));
            return ExitCode::FAILURE;
        };
        let Figures { deliveries, requests, retried, rows, lost, doubled, .. } = &outcome.figures;
        let Figures { gone_with_the_stream: gone, conflicts_accepted, deferred_unexplained, .. } = &outcome.figures;
        say(&format!(
            "round {nth} (seed {seed}, {} faults, {:.0?}): {deliveries} deliveries, {requests} requests, {retried} retried, \
             {rows} runs, lost {lost}, doubled {doubled}; excused: {gone} gone with a stream, {conflicts_accepted} accepted \
             beside another, {deferred_unexplained} deferred for no known reason",
            outcome.faults.values().sum::<usize>(),
            since.elapsed()
        ));
        figures.add(&outcome.figures);
        outcome.faults.into_iter().for_each(|(kind, count)| *faults.entry(kind).or_default() += count);
        if began.elapsed() >= time || std::env::var("SEED").is_ok_and(|seed| !seed.is_empty()) {
            let faults: Vec<_> = faults.iter().map(|(kind, count)| format!("{kind} × {count}")).collect();
            say(&format!(
                "{nth} rounds in {:.0?}, and no violation\n{figures}\n  faults    {}",
                began.elapsed(),
                faults.join(", ")
            ));
            break;
        }
    }
    ExitCode::SUCCESS
}

fn say(text: &str) {
    // Who reads it may have gone away.
    _ = writeln!(std::io::stdout(), "{text}");
}
