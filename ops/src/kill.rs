//! Kill points: places in the code where a test has the process die, or stand still, at that very instruction.
//!
//! Armed by `RUNLATCH_KILL_POINT`, which holds an order or the name of a file for one:
//!
//! | value | then |
//! |---|---|
//! | `claimed` | SIGKILL to itself where that point is reached |
//! | `claimed:3` | where it is reached for the third time |
//! | `pause:claimed:3` | whatever is there then never goes on; the rest of the process does |
//! | `@file` | the order is in that file as soon as there is one, and whoever obeys it first takes it away |
//!
//! With a file a process can be armed while it runs, is harmless when it is started again, and of several only one dies.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use clap::ValueEnum;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

#[cfg(not(debug_assertions))]
compile_error!("kill points are for tests: build without the feature `kill-points`, or without --release");

const VARIABLE: &str = "RUNLATCH_KILL_POINT";

/// Where a process can be made to die.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Point {
    /// Gateway: the key is claimed, nothing is on its way to the queue.
    Claimed,
    /// Gateway: the message has left this process, and is not acknowledged.
    Sent,
    /// Gateway: the queue has acknowledged the message, and nobody has been told.
    Acknowledged,
    /// Gateway: the callers are being told, and nothing is marked as published.
    Marking,
    /// Worker: a batch is in hand, and nothing has been done about it.
    Pulled,
    /// Worker: an attempt at a suspect is counted, and it has not been looked at.
    Cleared,
    /// Worker: the rows are inserted, and not committed.
    Inserted,
    /// Worker: the outcomes are committed, and nothing is acked.
    Committed,
    /// Worker: a message is acked, others of its batch are not.
    Acked,
}

impl Point {
    fn program(self) -> &'static str {
        match self {
            Self::Claimed | Self::Sent | Self::Acknowledged | Self::Marking => "runlatch-gateway",
            Self::Pulled | Self::Cleared | Self::Inserted | Self::Committed | Self::Acked => "runlatch-worker",
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Order {
    fate: Fate,
    point: Point,
    /// From 1.
    nth: u32,
}

/// What happens to whoever has reached the point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The process dies, as by kill -9.
    Die,
    /// The task never goes on.
    Pause,
}

impl Order {
    fn read(program: &str, text: &str) -> Result<Self, String> {
        let (fate, rest) = match text.split_once("pause:") {
            Some(("", rest)) => (Fate::Pause, rest),
            _ => (Fate::Die, text),
        };
        let (name, nth) = rest.split_once(':').unwrap_or((rest, "1"));
        let points = || Point::value_variants().iter().filter(|point| point.program() == program);
        let point = points().find(|point| point.name() == name).ok_or_else(|| {
            let names: Vec<_> = points().map(|point| point.name()).collect();
            format!("{VARIABLE}: {name:?} is not one of {}", names.join(", "))
        })?;
        let nth = nth.parse().ok().filter(|nth| *nth > 0);
        let nth = nth.ok_or_else(|| format!("{VARIABLE}: what follows {name} is not a number from 1"))?;
        Ok(Self { fate, point: *point, nth })
    }
}

enum Source {
    Order(Order),
    File(PathBuf),
}

struct Armed {
    program: String,
    source: Source,
    /// How often the point of the present order has been reached.
    reached: AtomicU32,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Reads the variable. Called once, before anything can be reached.
pub(crate) fn arm(program: &str) -> Result<(), String> {
    let Ok(text) = std::env::var(VARIABLE) else { return Ok(()) };
    let source = match text.strip_prefix('@') {
        Some(file) => Source::File(file.into()),
        None => Source::Order(Order::read(program, &text)?),
    };
    _ = ARMED.set(Armed { program: program.to_owned(), source, reached: AtomicU32::new(0) });
    Ok(())
}

/// Nobody shall run this without knowing.
pub(crate) fn warn() {
    if let Some(armed) = ARMED.get() {
        tracing::warn!(armed = %armed.source, "THIS PROCESS IS MADE TO DIE: a kill point is armed, as only tests do");
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(order) => write!(f, "{order:?}"),
            Self::File(path) => write!(f, "by {}", path.display()),
        }
    }
}

/// Says whether this is the place and the time. Used by [`kill_point!`](crate::kill_point) only.
#[doc(hidden)]
pub fn reached(point: Point) -> Option<Fate> {
    let armed = ARMED.get()?;
    let order = match &armed.source {
        Source::Order(order) => *order,
        Source::File(path) => match armed.order_in(path) {
            Some(order) => order,
            None => {
                armed.reached.store(0, Ordering::Relaxed);
                return None;
            }
        },
    };
    if order.point != point || armed.reached.fetch_add(1, Ordering::Relaxed) + 1 != order.nth {
        return None;
    }
    match &armed.source {
        Source::File(path) => take(path).is_ok().then_some(order.fate),
        Source::Order(_) => Some(order.fate),
    }
}

impl Armed {
    fn order_in(&self, path: &Path) -> Option<Order> {
        let text = fs::read_to_string(path).ok()?;
        Order::read(&self.program, text.trim()).map_err(|reason| tracing::error!(reason)).ok()
    }
}

/// Only one can rename it. What it is called then tells the test that the point was reached.
fn take(path: &Path) -> io::Result<()> {
    fs::rename(path, path.with_extension("taken"))
}

impl Fate {
    /// Never returns.
    #[doc(hidden)]
    pub async fn meet(self) {
        if self == Self::Die {
            // Nothing is flushed, nothing is dropped. It cannot fail, and if it did the test would see a life go on.
            _ = kill(Pid::this(), Signal::SIGKILL);
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::{Fate, Order, Point};

    #[test]
    fn orders() {
        let read = |text: &str| Order::read("runlatch-gateway", text);
        assert_eq!(read("sent"), Ok(Order { fate: Fate::Die, point: Point::Sent, nth: 1 }));
        assert_eq!(read("pause:marking:3"), Ok(Order { fate: Fate::Pause, point: Point::Marking, nth: 3 }));
        for wrong in ["sent:0", "sent:x", "sent:1:1"] {
            assert_eq!(read(wrong), Err("RUNLATCH_KILL_POINT: what follows sent is not a number from 1".to_owned()));
        }
        // One of the worker's, which a gateway would never reach.
        let list = "is not one of claimed, sent, acknowledged, marking";
        for wrong in ["", "pulled", "Sent", "pause:"] {
            assert!(read(wrong).is_err_and(|reason| reason.ends_with(list)), "{wrong}");
        }
    }
}
