//! Measures Runlatch beside what could be used in its place, all on one machine and in one run: `make bench`.

mod accounts;
mod book;
mod load;
mod measure;
mod sections;
mod serve;
mod stage;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use local::Extra;

use crate::book::Book;
use crate::load::Requests;
use crate::sections::side_by_side::{self, BODY, Times};
use crate::stage::Stage;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Runlatch beside what could be used in its place.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Sub>,
    /// How often each measurement is made.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that a measurement takes.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only the measurements whose names have this in them.
    #[arg(long, default_value = "")]
    only: String,
    /// Environment variables for the gateways, as name=value.
    #[arg(long)]
    gateway_env: Vec<String>,
}

#[derive(Subcommand)]
enum Sub {
    /// Is one of the servers that Runlatch is held against.
    #[command(hide = true)]
    Serve {
        kind: serve::Kind,
        #[arg(long)]
        threads: usize,
        #[arg(long)]
        pool: usize,
        #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
        database_url: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Some(Sub::Serve { kind, threads, pool, database_url }) => serve::be(*kind, *threads, database_url, *pool),
        None => run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: &Arguments) -> Result<()> {
    let set = |extra: Extra, variable: &String| match variable.split_once('=') {
        Some((name, value)) => extra.env(name, value),
        None => extra,
    };
    let gateway = arguments.gateway_env.iter().fold(Extra::new(), set);
    let mut stage = Stage::set(None, 16, (gateway, Extra::new())).await?;
    let mut book = Book::default();
    let mut requests = Requests::new(stage.secrets.clone(), 0, BODY, "plain")?;
    let time = Duration::from_secs_f64(arguments.seconds);
    for _ in 0..arguments.rounds {
        side_by_side::round(&mut stage, &mut book, &mut requests, &Times { closed: time, open: time }, &arguments.only)
            .await?;
    }
    for (name, samples) in book.all() {
        for sample in samples {
            let cpu: String = sample
                .cpu_us
                .iter()
                .filter(|(_, us)| **us >= 0.1)
                .map(|(name, us)| format!(" {name} {us:.1}"))
                .collect();
            let ms: String = ["p50", "p99", "p99.9", "max"]
                .iter()
                .filter_map(|p| Some(format!(" {p} {:.2}", sample.latency_ms.get(p)?)))
                .collect();
            println!(
                "{name:22} {:9.0}/s {:9.0}{ms} |{cpu}",
                sample.per_second,
                sample.runs_per_second.unwrap_or_default()
            );
        }
    }
    stage.stack.shutdown().await
}
