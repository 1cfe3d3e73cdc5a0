//! Log lines, and what must never be in one (I7).

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::Log;

/// Targets of our own code.
const OWN: [&str; 3] = ["gateway", "worker", "ops"];

/// Starts to log, on standard error.
///
/// # Errors
/// If the filter cannot be read.
pub fn log(settings: &Log) -> Result<(), String> {
    let filter = EnvFilter::try_new(&settings.filter).map_err(|error| format!("--log: {error}"))?;
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let lines = if settings.format == "json" { lines.json().boxed() } else { lines.boxed() };
    tracing_subscriber::registry().with(lines.with_filter(filter_fn(harmless)).with_filter(filter)).init();
    quiet_panics();
    #[cfg(feature = "kill-points")]
    crate::kill::warn();
    Ok(())
}

/// Libraries that talk to callers. What they warn of is the callers' doing: a stranger could fill a disk with it.
const CALLERS: [&str; 3] = ["h2", "hyper", "hyper_util"];

/// Libraries quote at `debug` what they were given: statements with their parameters, servers with their passwords.
fn harmless(line: &Metadata<'_>) -> bool {
    let target = line.target().split("::").next().unwrap_or_default();
    let least = if CALLERS.contains(&target) { Level::ERROR } else { Level::INFO };
    *line.level() <= least || OWN.contains(&target)
}

/// A panic's message can quote what it stumbled over, and that may be a payload: the place is enough.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}
