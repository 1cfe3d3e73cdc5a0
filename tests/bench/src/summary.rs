//! What is shown on the terminal at the end.

use std::io::{Write, stdout};

use anyhow::Result;

use crate::bench::Bench;
use crate::book::{Book, Figure};
use crate::ratios::{Goal, MEMORY, RATIOS, Ratio};
use crate::sections;
use crate::sizing::sizes;
use crate::table::{Table, grouped, number};

/// Processes whose CPU is shown.
const PROCESSES: [&str; 8] = ["floor", "insert", "gateway", "worker", "redis", "nats", "postgres", "restate"];

/// Writes everything.
pub(crate) fn write(bench: &Bench) -> Result<()> {
    let mut out = stdout().lock();
    for section in sections::NAMES {
        if let Some(table) = section_table(&bench.book, section) {
            writeln!(
                out,
                "\n{section}: medians of the rounds, ± half of what they differ by; ms; CPU in µs for each delivery\n{table}"
            )?;
        }
    }
    if let Some(table) = sizing_table(bench) {
        writeln!(
            out,
            "sizing, on paper: from the CPU of pipeline.closed.64, gateways and workers at 60 % of a core each\n{table}"
        )?;
    }
    if let Some(table) = ratio_table(&bench.book) {
        writeln!(out, "ratios, and memory in MiB: the median of the rounds' (of memory the most)\n{table}")?;
    }
    Ok(())
}

fn section_table(book: &Book, section: &str) -> Option<Table> {
    let mut names: Vec<_> = book.all().map(|(name, _)| name).filter(|name| sections::of(name) == section).collect();
    if names.is_empty() {
        return None;
    }
    names.sort_by_key(|name| by_system(name));
    let mut table = Table::new([
        "",
        "answers/s",
        "±",
        "runs/s",
        "all answered",
        "all rows",
        "p50",
        "p99",
        "p99.9",
        "max",
        PROCESSES[0],
        PROCESSES[1],
        PROCESSES[2],
        PROCESSES[3],
        PROCESSES[4],
        PROCESSES[5],
        PROCESSES[6],
        PROCESSES[7],
    ]);
    for name in names {
        let Some(median) = book.median(name) else { continue };
        let spread = book
            .figure(name, |sample| sample.per_second)
            .map_or(String::new(), |figure| format!("{:.0} %", 50.0 * (figure.most - figure.least) / figure.median));
        let seconds = |what: &str| median.seconds.get(what).map_or(String::new(), |seconds| format!("{seconds:.2} s"));
        let [p50, p99, p999, max] = ["p50", "p99", "p99.9", "max"].map(|p| number(median.ms(p)));
        let cpu = PROCESSES.map(|process| {
            let us = median.cpu_of(&[process]);
            // What idles beside the measurement is left out.
            if us < 0.1 { String::new() } else { format!("{us:.1}") }
        });
        let [floor, insert, gateway, worker, redis, nats, postgres, restate] = cpu;
        table.row([
            name.to_owned(),
            number(median.per_second),
            spread,
            median.runs_per_second.map(number).unwrap_or_default(),
            seconds("answers"),
            seconds("rows"),
            p50,
            p99,
            p999,
            max,
            floor,
            insert,
            gateway,
            worker,
            redis,
            nats,
            postgres,
            restate,
        ]);
    }
    Some(table)
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

fn sizing_table(bench: &Bench) -> Option<Table> {
    let (median, room) = (bench.book.median("pipeline.closed.64")?, &bench.book.room);
    let mut table =
        Table::new(["deliveries/s", "gateways", "workers", "Redis", "NATS", "Postgres", "claims", "backlog", "runs"]);
    let gib = |gib: Option<f64>, time: &str| gib.map_or(String::new(), |gib| format!("{} GiB/{time}", number(gib)));
    for size in sizes(&median, room) {
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
