//! Measures Runlatch beside what could be used in its place, all on one machine and in one run: `make bench`.
//!
//! A round makes each measurement once, the systems one after the other ([`sections`]); after the last round comes what takes long
//! to prepare. Every sample goes into the [`book`]; what is compared is compared within a round ([`ratios`]), because the
//! machine is not the same from one minute to the next. The load comes from this process ([`load`]), the floor and the plain
//! INSERT are this program again ([`serve`]), Runlatch and its servers are as in production but for what [`stage`] says.

mod accounts;
mod bench;
mod book;
mod fill;
mod load;
mod measure;
mod peers;
mod plot;
mod progress;
mod ratios;
mod report;
mod sections;
mod serve;
mod sizing;
mod stage;
mod summary;
mod table;

use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use local::Extra;
use tokio::task::block_in_place;

use crate::bench::{Bench, Settings, Sizes};
use crate::progress::Progress;
use crate::sections::{batch, burst, drain, growth, memory, retries, scale, side_by_side};
use crate::stage::Stage;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Runlatch beside what could be used in its place.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Sub>,
    /// How often each measurement is made.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Seconds that a measurement takes.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only the measurements or sections whose names have one of these in them, separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Divides how many claims, rows, playbooks and waiting deliveries there are, to see that all works.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    divide: u64,
    /// Measures Restate too, which npm is to install.
    #[arg(long)]
    peers: bool,
    /// Connections of the plain INSERT's pool.
    #[arg(long, default_value_t = 16)]
    pool: usize,
    /// Folder for the report and the plots [default: bench/ beside the folder of this program].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Environment variables for the gateways, as name=value.
    #[arg(long)]
    gateway_env: Vec<String>,
    /// The same for the workers.
    #[arg(long)]
    worker_env: Vec<String>,
}

#[derive(Subcommand)]
enum Sub {
    /// Is one of the servers that Runlatch is held against.
    #[command(hide = true)]
    Serve {
        kind: serve::Kind,
        #[command(flatten)]
        threads: ops::Threads,
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
    // Connections that idle for longer are closed by the gateway.
    ensure!((0.1..=20.0).contains(&arguments.seconds), "--seconds: from 0.1 to 20");
    let out = arguments.out.clone().map_or_else(default_out, Ok)?;
    fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
    let settings = Settings {
        rounds: arguments.rounds.into(),
        seconds: arguments.seconds,
        only: arguments.only.clone(),
        sizes: Sizes::divided(arguments.divide),
    };
    let file = out.join("report.json");
    // What an earlier run has found is not to be taken for this one's.
    _ = fs::remove_file(&file);
    accounts::check()?;
    let mut progress = Progress::new();
    block_in_place(|| local::install::install(&mut |step| progress.part(step)))?;
    if arguments.peers {
        progress.part("installing peers");
    }
    let restate = arguments.peers.then(peers::Restate::install).transpose()?;
    progress.part("starting the stack");
    let stage = Stage::set(extra(&arguments.gateway_env)?, extra(&arguments.worker_env)?, arguments.pool).await?;
    let mut bench = Bench::new(stage, settings, restate, progress)?;
    let measured = measure(&mut bench, &file).await;
    bench.progress.end();
    // Whatever has gone wrong, what was measured before is shown.
    let shown = if bench.book.is_empty() { Ok(()) } else { show(&bench, &file, &out).await };
    let (any, failures) = (!bench.book.is_empty(), bench.failures);
    let ended = bench.stage.stack.shutdown().await;
    measured.and(shown).and(ended)?;
    ensure!(failures.is_empty(), "not measured: {}", failures.join("; "));
    ensure!(
        any,
        "nothing has a name with {} in it; sections are {}",
        arguments.only.join(" or "),
        sections::NAMES.join(", ")
    );
    Ok(())
}

async fn show(bench: &Bench, file: &Path, out: &Path) -> Result<()> {
    summary::write(bench)?;
    plot::draw(&bench.book, out)?;
    report::write(bench, file).await?;
    Ok(writeln!(stdout(), "The report and the plots are in {}", out.display())?)
}

async fn measure(bench: &mut Bench, file: &Path) -> Result<()> {
    for round in 0..bench.settings.rounds {
        let of = format!("round {} of {}", round + 1, bench.settings.rounds);
        bench.progress.part(&format!("{of}: side by side"));
        side_by_side::round(bench, round).await?;
        bench.progress.part(&format!("{of}: drain, retries, batch, burst, scale"));
        drain::round(bench).await?;
        retries::round(bench).await?;
        batch::round(bench).await?;
        burst::round(bench, round).await?;
        scale::round(bench, round).await?;
        report::write(bench, file).await?;
    }
    growth::run(bench).await?;
    memory::run(bench).await
}

/// `target/bench` where this is `target/release/runlatch-bench`.
fn default_out() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.ancestors().nth(2).context("a program in a folder")?.join("bench"))
}

fn extra(variables: &[String]) -> Result<Extra> {
    variables.iter().try_fold(Extra::new(), |extra, variable| {
        let (name, value) = variable.split_once('=').with_context(|| format!("{variable}: not name=value"))?;
        Ok(extra.env(name, value))
    })
}
