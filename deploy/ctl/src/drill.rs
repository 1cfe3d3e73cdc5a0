//! `runlatch drill`: the figures and the verdict on stdout, how it is going on stderr.

use std::fs;
use std::io::{IsTerminal, Write, stderr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use drill::{Drill, Part, Progress, Sabotage, Verdict};
use serde_json::json;

use crate::{Error, output::say};

#[derive(clap::Args)]
#[command(
    after_help = "The stack is private: gateways, workers, PostgreSQL, Redis and NATS of its own on free ports of \
127.0.0.1, gone when the drill is over. DATABASE_URL and the like are not looked at. Needs runlatch-gateway and \
runlatch-worker beside this program, and the three servers installed.\n\nExit codes: 0, nothing is violated; 1, \
something is; 69, the drill could not be held; 64, bad usage."
)]
pub(crate) struct Args {
    /// Deliveries to throw; duplicates and conflicting reuses are among them.
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=5_000_000))]
    deliveries: u32,
    /// Draws keys, payloads, duplicates, conflicts, their order, and which delivery each kill comes with. Without it,
    /// any; it is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// What to kill, in turn, separated by commas: redis, nats, postgres, gateway, worker; or none.
    #[arg(long, default_value = "redis,nats,postgres,gateway,worker", value_name = "PARTS")]
    kill: Kill,
    /// Deliveries under way at a time.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    senders: u16,
    /// Spoil the drill's own database before the verdict, which must find it: lose, double or alter a run.
    #[arg(long, value_name = "HOW")]
    sabotage: Option<Sabotage>,
    /// Where anything is violated, leave what gateways, workers and servers logged in this directory, which is made.
    #[arg(long, value_name = "DIRECTORY")]
    keep_logs: Option<PathBuf>,
    /// Print figures and verdict as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug)]
struct Kill(Vec<Part>);

impl FromStr for Kill {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = if text == "none" { Ok(vec![]) } else { text.split(',').map(str::parse).collect() };
        parts.map(Self)
    }
}

/// Holds the drill. Fails where anything is violated.
pub(crate) async fn run(args: &Args) -> Result<(), Error> {
    let drill = Drill {
        deliveries: args.deliveries as usize,
        seed: args.seed.unwrap_or_else(Drill::any_seed),
        kill: args.kill.0.clone(),
        senders: args.senders.into(),
    };
    let terminal = Terminal { quiet: Mutex::new(Instant::now()) };
    terminal.line(&format!("seed {}: {} deliveries", drill.seed, drill.deliveries));
    let verdict = hold(&drill, args, &terminal).await;
    terminal.clear();
    let verdict = verdict.map_err(|error| Error::Unavailable(format!("the drill could not be held: {error:#}")))?;
    show(&drill, &verdict, args.json)?;
    if verdict.is_clean() {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "{} violations; the same again: {}",
        verdict.violations.len(),
        again(&drill, args.sabotage)
    )))
}

/// The command that draws the same: the seed alone does not, as all else decides what is drawn from it.
fn again(drill: &Drill, sabotage: Option<Sabotage>) -> String {
    let Drill { deliveries, seed, kill, senders } = drill;
    let kill: Vec<_> = kill.iter().map(|part| part.name()).collect();
    let kill = if kill.is_empty() { "none".to_owned() } else { kill.join(",") };
    let sabotage = sabotage.map(|how| format!(" --sabotage {how}")).unwrap_or_default();
    format!("runlatch drill --seed {seed} --deliveries {deliveries} --kill {kill} --senders {senders}{sabotage}")
}

async fn hold(drill: &Drill, args: &Args, terminal: &Terminal) -> anyhow::Result<Verdict> {
    let aftermath = drill.run(&|progress| terminal.show(&progress, drill.deliveries)).await?;
    if let Some(sabotage) = args.sabotage {
        aftermath.spoil(sabotage).await?;
    }
    let verdict = aftermath.verdict().await?;
    if let Some(directory) = args.keep_logs.as_ref().filter(|_| !verdict.is_clean()) {
        // The verdict counts even where they cannot be kept.
        terminal.line(&match keep(&aftermath.stack.directory().join("logs"), directory) {
            Ok(()) => format!("logs are in {}", directory.display()),
            Err(error) => format!("the logs cannot be kept in {}: {error}", directory.display()),
        });
    }
    Ok(verdict)
}

fn keep(logs: &Path, directory: &Path) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    for log in fs::read_dir(logs)? {
        let log = log?;
        fs::copy(log.path(), directory.join(log.file_name()))?;
    }
    Ok(())
}

fn show(drill: &Drill, verdict: &Verdict, as_json: bool) -> Result<(), Error> {
    let killed: Vec<_> = drill.kill.iter().map(|part| part.name()).collect();
    if as_json {
        let Verdict { figures, violations } = verdict;
        let report = json!({ "seed": drill.seed, "thrown": drill.deliveries, "killed": killed, "clean": verdict.is_clean(),
                             "figures": figures, "violations": violations });
        return say(&report.to_string());
    }
    let killed = if killed.is_empty() { "nothing".to_owned() } else { killed.join(", ") };
    say(&format!("drill: {} deliveries thrown at 2 gateways and 2 workers; killed: {killed}", drill.deliveries))?;
    say(&verdict.to_string())
}

/// Where nobody watches, what goes on is said this often: who reads it later, or a log that ends where nothing is said for
/// long, must see that something does.
const NOW_AND_THEN: Duration = Duration::from_secs(10);

/// Where somebody watches, one line that changes; else a line for each thing that happens, and now and then for what goes on.
struct Terminal {
    /// Since when nothing was said.
    quiet: Mutex<Instant>,
}

impl Terminal {
    fn show(&self, progress: &Progress, of: usize) {
        match progress {
            Progress::Starting => self.passing("starting a stack"),
            Progress::Throwing { begun, done, retrying } => {
                self.passing(&format!("{begun} of {of} begun, {done} done, {retrying} trying again"));
            }
            Progress::Killed(kill, at) => self.line(&format!("killed {} at delivery {at}", kill.process)),
            Progress::Back(kill, after) => self.line(&format!("{} is back after {after:.1?}", kill.process)),
            Progress::Draining(left) => self.passing(&format!("all sent; {left} messages in the queue")),
            Progress::Judging => self.passing("judging"),
        }
    }

    fn line(&self, text: &str) {
        self.clear();
        crate::remark(text);
        *self.quiet.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn passing(&self, text: &str) {
        if stderr().is_terminal() {
            self.write(&format!("\r\x1b[Krunlatch: {text} …"));
            return;
        }
        let quiet = *self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        if quiet.elapsed() >= NOW_AND_THEN {
            self.line(text);
        }
    }

    fn clear(&self) {
        if stderr().is_terminal() {
            self.write("\r\x1b[K");
        }
    }

    fn write(&self, text: &str) {
        // Nobody need watch.
        let _whole = self.quiet.lock();
        _ = write!(stderr(), "{text}").and_then(|()| stderr().flush());
    }
}
