//! Does the time to refuse a wrong secret tell how much of it was right? (`make timing`)
//!
//! Wrong secrets of several kinds are sent to a gateway over one connection, one of each kind in every round, in an order
//! drawn anew each time, and each kind's times are compared with those of secrets of which nothing is right
//! (`statistics.rs`). The same is then done through a proxy that first compares the secret itself, character by
//! character, and stops at the first that is wrong (`leaky.rs`): a check that does not find *that*, by every kind of secret
//! that begins as the right one does, is no check. Nor is one that could not have told `RESOLUTION` from nothing.
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
/// Nanoseconds that a difference can be known to within, or nothing is known. The half of a secret costs about as much in
/// steps of the kind above.
const RESOLUTION: f64 = 250.0;

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
    let gateway = report(&classes, &gateway);
    say(&format!(
        "the same behind a comparison that stops at the first wrong character, {STEP} ns a step, {} rounds:",
        rounds / 10
    ));
    let leak = report(&classes, &leak);
    let clean = !gateway.differs.contains(&true);
    let found = classes.iter().zip(&leak.differs).all(|(class, differs)| *differs || !class.begins_right);
    let sharp = gateway.resolution <= RESOLUTION;
    let resolution = gateway.resolution;
    say(&match (clean, found && sharp) {
        (true, true) => {
            format!("verdict: no leak of {resolution:.0} ns or more, by a check that finds one where there is one")
        }
        (false, _) => "verdict: LEAK".to_owned(),
        (true, false) => format!(
            "verdict: NONE: {resolution:.0} ns could not be told from nothing, or the leak that was built in was not found; \
             the machine is too busy"
        ),
    });
    world.end().await;
    if clean && found && sharp { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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

/// What was found.
struct Report {
    /// Of each class, whether it differs by more than it may.
    differs: Vec<bool>,
    /// Half of the widest interval of those that nobody may learn anything from, in nanoseconds.
    resolution: f64,
}

/// Compares, and prints a line for each class.
fn report(classes: &[Class], times: &[Vec<u64>]) -> Report {
    let reference = |class: &Class| classes.iter().position(|other| other.name == class.against).expect("there is one");
    let mut report = Report { differs: vec![], resolution: 0.0 };
    for (class, own) in classes.iter().zip(times) {
        if class.against == class.name {
            say(&format!("  {:<44} {:>8.1} µs (median)", class.name, statistics::quantile(own, 0.5) as f64 / 1000.0));
            report.differs.push(false);
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
        report.differs.push(differs);
        if class.kind == Kind::Secret {
            report.resolution = report.resolution.max((high - low) / 2.0);
        }
        say(&format!("  {:<44} {difference:>+8.0} ns (99.9 %: {low:+.0} to {high:+.0})  {verdict}", class.name));
    }
    report
}

fn say(line: &str) {
    // Nobody reads it any more, perhaps.
    _ = writeln!(std::io::stdout().lock(), "{line}");
}
