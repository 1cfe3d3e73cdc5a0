//! Does the time to refuse a wrong secret tell how much of it was right? (`make timing`)
//!
//! Wrong secrets of several kinds are sent to a gateway over one connection, one of each kind in every round, in an order
//! drawn anew each time, and each kind's times are compared with those of secrets of which nothing is right
//! (`statistics.rs`). The same is then done through a proxy that first compares the secret itself, character by
//! character, and stops at the first that is wrong (`leaky.rs`): a check that does not find *that* is no check.
//!
//! What a caller may learn, by contract: whether an enabled playbook exists (401 and not 404), and how long the secret is
//! that it sends itself.

mod classes;
mod leaky;
mod statistics;
mod wire;

use std::io::Write;
use std::process::ExitCode;

use harness::World;

use classes::{Class, Kind};
use statistics::Comparison;

/// What a step of the leaky comparison costs, in nanoseconds: a good guess at one that is a call and a branch.
const STEP: u32 = 20;

#[tokio::main]
async fn main() -> ExitCode {
    let rounds = match std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse::<usize>()) {
        Ok(rounds) if rounds >= 10_000 => rounds,
        _ => {
            say("usage: timing [ROUNDS], at least 10000");
            return ExitCode::from(64);
        }
    };
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let resting = world.playbook("acme/resting").await;
    let classes = classes::all(&deploy, &resting);
    let address = world.stack.url().trim_start_matches("http://").to_owned();
    let secret = deploy.secret.clone();

    // Blocking sockets on threads of their own: nothing else is done here meanwhile.
    let measured = tokio::task::spawn_blocking(move || {
        let gateway = measure(&address, &classes, rounds);
        let proxy = leaky::start(&address, secret, STEP);
        let leak = measure(&proxy, &classes, rounds / 10);
        (classes, gateway, leak)
    });
    let (classes, gateway, leak) = measured.await.expect("it does not panic");
    say(&format!("the gateway, {rounds} rounds:"));
    let clean = report(&classes, &gateway);
    say(&format!(
        "the same behind a comparison that stops at the first wrong character, {STEP} ns a step, {} rounds:",
        rounds / 10
    ));
    let found = !report(&classes, &leak);
    say(match (clean, found) {
        (true, true) => "verdict: no leak, by a check that finds one where there is one",
        (false, _) => "verdict: LEAK",
        (true, false) => "verdict: NONE: the leak that was built in was not found; the machine is too busy",
    });
    world.end().await;
    if clean && found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(address: &str, classes: &[Class], rounds: usize) -> Vec<Vec<u64>> {
    let mut connection = wire::Connection::open(address);
    let mut order: Vec<usize> = (0..classes.len()).collect();
    let mut times = vec![Vec::with_capacity(rounds); classes.len()];
    // The first are for caches and predictors.
    for round in 0..rounds + rounds / 10 {
        fastrand::shuffle(&mut order);
        for class in &order {
            let time = connection
                .time(&classes[*class].requests[round % classes[*class].requests.len()], classes[*class].status);
            if round >= rounds / 10 {
                times[*class].push(time);
            }
        }
    }
    times
}

/// Prints a line for each class; true if none that must not differ does.
fn report(classes: &[Class], times: &[Vec<u64>]) -> bool {
    let reference = |class: &Class| classes.iter().position(|other| other.name == class.against).expect("there is one");
    let mut clean = true;
    for (class, own) in classes.iter().zip(times) {
        if class.against == class.name {
            say(&format!("  {:<44} {:>8.1} µs (median)", class.name, statistics::quantile(own, 0.5) as f64 / 1000.0));
            continue;
        }
        let Comparison { difference, low, high } = statistics::compare(own, &times[reference(class)]);
        let differs = low > class.kind.allowed() || high < -class.kind.allowed();
        let verdict = match (class.kind, differs) {
            (Kind::Public, _) => "public",
            (_, true) => "DIFFERS",
            (Kind::Existence, false) => "no more than a look-up",
            (Kind::Secret, false) => "no difference",
        };
        clean &= !differs;
        say(&format!("  {:<44} {difference:>+8.0} ns (99.9 %: {low:+.0} to {high:+.0})  {verdict}", class.name));
    }
    clean
}

fn say(line: &str) {
    // Nobody reads it any more, perhaps.
    _ = writeln!(std::io::stdout().lock(), "{line}");
}
