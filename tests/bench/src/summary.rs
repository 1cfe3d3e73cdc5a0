//! What is shown on the terminal at the end.

use std::io::{Write, stdout};

use anyhow::Result;

use crate::bench::Bench;
use crate::book::{Book, Figure, Sample};
use crate::ratios::{Goal, MEMORY, RATIOS, Ratio};
use crate::sections;
use crate::sizing::sizes;
use crate::table::{Table, grouped, number};

/// Processes whose CPU and memory are shown.
const PROCESSES: [&str; 10] =
    ["client", "floor", "insert", "gateway", "worker", "redis", "nats", "postgres", "restate", "restate-handler"];
/// Microseconds of CPU for each delivery below which a process is only there.
const IDLE: f64 = 0.1;

/// Writes everything.
pub(crate) fn write(bench: &Bench) -> Result<()> {
    let (mut out, book) = (stdout().lock(), &bench.book);
    writeln!(out, "\nMedians of {} rounds ± half of what they differ by.", bench.settings.rounds)?;
    for section in sections::NAMES {
        let names = names(book, section);
        if !names.is_empty() {
            writeln!(
                out,
                "\n{section}: a second, ms by percentile, and share of the cores that the host took away\n{}",
                rates(book, &names)
            )?;
            writeln!(out, "{section}: CPU in µs for each delivery\n{}", cpu(book, &names))?;
        }
    }
    let names: Vec<_> = book.all().map(|(name, _)| name).filter(|name| !name.starts_with("growth")).collect();
    if !names.is_empty() {
        writeln!(
            out,
            "memory: the most that each ever had, in MiB (Postgres: at the end, what is shared counted once)\n{}",
            memory(book, &names)
        )?;
    }
    if let Some(table) = sizing_table(book) {
        writeln!(
            out,
            "sizing, on paper: from the CPU of pipeline.open at the same rate (beyond: at 10,000), gateways and workers at 60 % of a core each\n{table}"
        )?;
    }
    if let Some(table) = ratio_table(book) {
        writeln!(out, "ratios, and memory in MiB: the median of the rounds' (of memory the most)\n{table}")?;
    }
    Ok(())
}

/// Of a section, in their order.
fn names<'b>(book: &'b Book, section: &str) -> Vec<&'b str> {
    let mut names: Vec<_> = book.all().map(|(name, _)| name).filter(|name| sections::of(name) == section).collect();
    names.sort_by_key(|name| by_system(name));
    names
}

/// A median and its spread.
fn figure(book: &Book, name: &str, value: impl Fn(&Sample) -> Option<f64>) -> String {
    let Some(figure) = book.figure(name, |sample| value(sample).unwrap_or(f64::NAN)) else { return String::new() };
    let spread = 50.0 * (figure.most - figure.least) / figure.median;
    format!("{}{}", number(figure.median), if spread > 0.0 { format!(" ±{spread:.0}%") } else { String::new() })
}

fn rates(book: &Book, names: &[&str]) -> Table {
    let mut table = Table::new([
        "",
        "answers",
        "runs",
        "all answered, s",
        "all rows, s",
        "p50",
        "p99",
        "p99.9",
        "max",
        "stolen, %",
    ]);
    for name in names {
        let of = |value: &dyn Fn(&Sample) -> Option<f64>| figure(book, name, value);
        let ms = |percentile: &'static str| of(&|sample| sample.latency_ms.get(percentile).copied());
        table.row([
            (*name).to_owned(),
            of(&|sample| Some(sample.per_second)),
            of(&|sample| sample.runs_per_second),
            of(&|sample| sample.seconds.get("answers").copied()),
            of(&|sample| sample.seconds.get("rows").copied()),
            ms("p50"),
            ms("p99"),
            ms("p99.9"),
            ms("max"),
            book.median(name)
                .and_then(|sample| sample.stolen)
                .map_or(String::new(), |share| format!("{:.1}", 100.0 * share)),
        ]);
    }
    table
}

/// What idles beside the measurement is left out.
fn cpu(book: &Book, names: &[&str]) -> Table {
    let mut table = Table::new(heads());
    for name in names {
        let us = |process: &&str| {
            let works = book.median(name).is_some_and(|sample| sample.cpu_of(&[process]) >= IDLE);
            if works { figure(book, name, |sample| sample.cpu_us.get(*process).copied()) } else { String::new() }
        };
        table.row(row(name, us));
    }
    table
}

fn memory(book: &Book, names: &[&str]) -> Table {
    let mut table = Table::new(heads());
    let most = |process: &&str| {
        let peaks = names.iter().flat_map(|name| book.of(name)).map(|sample| sample.peak_mib(process));
        number(peaks.fold(f64::NAN, f64::max))
    };
    table.row(row("", most));
    table
}

fn heads() -> [&'static str; PROCESSES.len() + 1] {
    std::array::from_fn(|column| column.checked_sub(1).map_or("", |process| PROCESSES[process]))
}

fn row(name: &str, cell: impl Fn(&&str) -> String) -> [String; PROCESSES.len() + 1] {
    std::array::from_fn(|column| {
        column.checked_sub(1).map_or_else(|| name.to_owned(), |process| cell(&PROCESSES[process]))
    })
}

/// Order of the rows: system, kind of load, and how much of it as a number.
fn by_system(name: &str) -> (usize, &str, u64) {
    const SYSTEMS: [&str; 5] = ["floor", "insert", "gateway", "pipeline", "restate"];
    let first = name.split('.').next().unwrap_or_default();
    let system = SYSTEMS.iter().position(|system| *system == first).unwrap_or(SYSTEMS.len());
    let (kind, much) = name.rsplit_once('.').unwrap_or((name, ""));
    (system, kind, much.parse().unwrap_or_default())
}

fn ratio_table(book: &Book) -> Option<Table> {
    let mut table = Table::new(["", "", "goal", "", "rounds"]);
    let memory = |ratio: &Ratio| (ratio.figure)(book).map(|figure| (figure, figure.most));
    let ratio = |ratio: &Ratio| (ratio.figure)(book).map(|figure| (figure, figure.median));
    let found = RATIOS.iter().map(|one| (one, ratio(one))).chain(MEMORY.iter().map(|one| (one, memory(one))));
    let mut any = false;
    for (ratio, found) in found {
        let Some((Figure { least, most, .. }, value)) = found else { continue };
        any = true;
        let verdict = ratio.goal.map_or("", |goal| if goal.is_reached(value) { "reached" } else { "not reached" });
        let goal = match ratio.goal {
            Some(Goal::AtMost(goal)) => format!("≤ {goal}"),
            Some(Goal::AtLeast(goal)) => format!("≥ {goal}"),
            None => String::new(),
        };
        let rounds = format!("{} … {}", number(least), number(most));
        table.row([ratio.name.to_owned(), number(value), goal, verdict.to_owned(), rounds]);
    }
    any.then_some(table)
}

fn sizing_table(book: &Book) -> Option<Table> {
    let (sizes, room) = (sizes(book), &book.room);
    if sizes.is_empty() {
        return None;
    }
    let mut table =
        Table::new(["deliveries/s", "gateways", "workers", "Redis", "NATS", "Postgres", "claims", "backlog", "runs"]);
    let gib = |gib: Option<f64>, time: &str| gib.map_or(String::new(), |gib| format!("{} GiB/{time}", number(gib)));
    for size in sizes {
        table.row([
            grouped(i64::from(size.deliveries_per_second)),
            size.gateways.to_string(),
            size.workers.to_string(),
            format!("{:.2} cores", size.redis_cores),
            format!("{:.2} cores", size.nats_cores),
            format!("{:.2} cores", size.postgres_cores),
            gib(size.redis_gib_per_hour, "h"),
            gib(size.nats_gib_per_hour, "h"),
            gib(size.postgres_gib_per_day, "day"),
        ]);
    }
    let million = |bytes: Option<f64>| {
        bytes.map_or(String::new(), |bytes| format!("{} MiB", number(bytes * 1e6 / f64::from(1 << 20))))
    };
    table.row([
        "of a million".to_owned(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        million(room.redis_per_key),
        million(room.nats_per_delivery),
        million(room.postgres_per_run),
    ]);
    Some(table)
}
