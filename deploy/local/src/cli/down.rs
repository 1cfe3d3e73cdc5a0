//! `down`: tells the daemon to stop, and waits until it has.

use std::{
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    files::Files,
    print::{line, step},
};

/// Longer than an orderly stop can take, which is bounded.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) fn down() -> Result<ExitCode> {
    let files = Files::open()?;
    let deadline = Instant::now() + PATIENCE;
    let mut told = None;
    loop {
        if let Some(_lock) = files.lock()? {
            // A daemon that was killed has left them.
            files.clear()?;
            line(if told.is_some() { "stopped" } else { "nothing is up" });
            return Ok(ExitCode::SUCCESS);
        }
        if told.is_none() {
            told = files.daemon()?;
            if let Some(pid) = told {
                step("stopping");
                match kill(Pid::from_raw(pid), Signal::SIGTERM) {
                    // It has just left by itself.
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(error) => bail!("cannot stop process {pid}: {error}"),
                }
            }
        }
        if Instant::now() > deadline {
            match told {
                Some(pid) => {
                    bail!("it has not stopped after {PATIENCE:?}. `kill -9 {pid}` ends it, and leaves nothing behind")
                }
                None => bail!("the lock .local/lock is held by a process that is no stack of ours"),
            }
        }
        sleep(Duration::from_millis(20));
    }
}
