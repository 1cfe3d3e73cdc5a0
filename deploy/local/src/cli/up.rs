//! `up`: starts the daemon, and stays until it says that all is ready.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};
use local::install::install;

use super::{
    args::Size,
    daemon::{READY, TAKEN},
    files::Files,
    print::{bold, line, step},
};

pub(crate) fn up(size: Size) -> Result<ExitCode> {
    let files = Files::open()?;
    if files.lock()?.is_none() {
        bail!("{TAKEN}");
    }
    install(&mut step)?;
    step("starting");
    let mut command = Command::new(std::env::current_exe().context("cannot tell where this program is")?);
    command.args(["daemon", "--gateways", &size.gateways.to_string(), "--workers", &size.workers.to_string()]);
    // Its input stays open as long as we live: one that is not ready when we die gives up.
    let mut daemon = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(files.log()?).spawn()?;
    let output = daemon.stdout.take().context("the daemon has no output")?;
    for said in BufReader::new(output).lines() {
        match said? {
            said if said == READY => return Ok(ExitCode::SUCCESS),
            said => line(&said),
        }
    }
    if daemon.wait()?.code() == Some(75) {
        bail!("{TAKEN}");
    }
    let log = fs::read_to_string(files.log_path())?;
    eprint!("{log}");
    Ok(ExitCode::FAILURE)
}

/// What to know of a stack that is up.
pub(crate) fn summary(url: &str, env: &str) -> String {
    format!(
        "{} at {url}\n  its addresses:  . .local/{env}\n  make status shows its processes, make down stops it",
        bold("Runlatch is up")
    )
}
