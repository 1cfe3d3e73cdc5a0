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
    fmt, fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
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

/// Tells an order from the next one, which may say the same: inode and time of its file. All zero where there is none.
type File = (u64, i64, i64);

struct Armed {
    program: String,
    source: Source,
    /// How often the point of this order has been reached.
    reached: Mutex<(Option<(File, Order)>, u32)>,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Reads the variable. Called once, before anything can be reached.
pub(crate) fn arm(program: &str) -> Result<(), String> {
    let Ok(text) = std::env::var(VARIABLE) else { return Ok(()) };
    let source = match text.strip_prefix('@') {
        Some(file) => Source::File(file.into()),
        None => Source::Order(Order::read(program, &text)?),
    };
    _ = ARMED.set(Armed::new(program, source));
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
    ARMED.get()?.reached(point)
}

impl Armed {
    fn new(program: &str, source: Source) -> Self {
        Self { program: program.to_owned(), source, reached: Mutex::default() }
    }

    fn reached(&self, point: Point) -> Option<Fate> {
        let (file, order) = match &self.source {
            Source::Order(order) => (File::default(), *order),
            Source::File(path) => self.order_in(path)?,
        };
        if order.point != point || self.count(file, order) != order.nth {
            return None;
        }
        match &self.source {
            Source::File(path) => take(path).is_ok().then_some(order.fate),
            Source::Order(_) => Some(order.fate),
        }
    }

    /// Once more under this order. What was reached under another is forgotten: one that was withdrawn, and one whose
    /// place it took while nobody looked.
    fn count(&self, file: File, order: Order) -> u32 {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if reached.0 != Some((file, order)) {
            *reached = (Some((file, order)), 0);
        }
        reached.1 = reached.1.saturating_add(1);
        reached.1
    }

    fn order_in(&self, path: &Path) -> Option<(File, Order)> {
        let (file, text) = read(path).ok()?;
        let order = Order::read(&self.program, text.trim()).map_err(|reason| tracing::error!(reason)).ok()?;
        Some((file, order))
    }
}

/// Of one file, whatever is at that path a moment later.
fn read(path: &Path) -> io::Result<(File, String)> {
    let mut file = fs::File::open(path)?;
    let (found, mut text) = (file.metadata()?, String::new());
    file.read_to_string(&mut text)?;
    Ok(((found.ino(), found.mtime(), found.mtime_nsec()), text))
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
    use std::fs;

    use super::{Armed, Fate, Order, Point, Source};

    /// As tests give them: in place all at once.
    #[test]
    fn a_count_goes_with_its_order() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("order");
        let give = |order: &str| {
            let draft = file.with_extension("draft");
            fs::write(&draft, order).expect("writes");
            fs::rename(draft, &file).expect("renames");
        };
        let armed = Armed::new("runlatch-gateway", Source::File(file.clone()));
        let reach = |times: u32| (0..times).map(|_| armed.reached(Point::Sent)).collect::<Vec<_>>();

        give("sent:3");
        assert_eq!(reach(2), [None; 2]);
        // Another in its place, before anything is reached again; and one that says the same.
        give("pause:sent:3");
        assert_eq!(reach(2), [None; 2]);
        give("pause:sent:3");
        assert_eq!(reach(3), [None, None, Some(Fate::Pause)]);
        assert!(!file.exists(), "it was obeyed and is still there");

        // What is reached meanwhile counts under no order, and other points under none but their own.
        assert_eq!(reach(2), [None; 2]);
        give("sent:2");
        assert_eq!(armed.reached(Point::Claimed), None);
        assert_eq!(reach(3), [None, Some(Fate::Die), None]);
    }

    #[test]
    fn the_order_of_a_lifetime_is_obeyed_once() {
        let order = Order { fate: Fate::Pause, point: Point::Sent, nth: 2 };
        let armed = Armed::new("runlatch-gateway", Source::Order(order));
        let found: Vec<_> = (0..4).map(|_| armed.reached(Point::Sent)).collect();
        assert_eq!(found, [None, Some(Fate::Pause), None, None]);
    }

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
