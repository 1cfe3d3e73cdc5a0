//! What a process of the stack is, how it is started, and how it is seen from outside.

use std::{
    ffi::OsString,
    fmt,
    fs::OpenOptions,
    path::PathBuf,
    process::{ExitStatus, Stdio},
};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::{home::Home, port::Port, probe::Probe};

/// How to run one process; stays the same however often it is started again.
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(String, String)>,
    /// PostgreSQL refuses to run as root.
    pub(crate) as_postgres: bool,
    /// What makes it stop gracefully.
    pub(crate) stop: Signal,
    pub(crate) probe: Probe,
    pub(crate) port: Option<Port>,
    pub(crate) ops_port: Option<Port>,
}

impl Spec {
    /// Starts it once. Its output is appended to its log.
    pub(crate) fn spawn(&self, home: &Home) -> Result<tokio::process::Child> {
        let log = OpenOptions::new().create(true).append(true).open(home.log(&self.name))?;
        let mut command = home.command(&self.name, &self.program, self.as_postgres);
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdout(log.try_clone()?).stderr(Stdio::from(log));
        tokio::process::Command::from(command).spawn().with_context(|| format!("cannot start {}", self.name))
    }
}

/// What is to be seen of a process at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// `postgres`, `redis`, `nats`, `gateway-1`, `worker-1` …
    pub name: String,
    /// `None` while there is none.
    pub pid: Option<u32>,
    /// Where it serves; a worker serves nobody.
    pub port: Option<u16>,
    /// Where its `/readyz` and `/metrics` are; the servers have none.
    pub ops_port: Option<u16>,
    /// Whether it runs.
    pub state: State,
    /// How often it was started again after it had died.
    pub restarts: u32,
    /// All that it ever wrote, over all its starts.
    pub log: PathBuf,
}

impl Process {
    /// Whether it is ready now; if not, the error says in what way. Takes a second at most. PostgreSQL is asked by logging
    /// in at `database_url`.
    pub async fn check(&self, database_url: &str) -> Result<(), String> {
        let probe = match (self.name.as_str(), self.port, self.ops_port) {
            ("postgres", ..) => Probe::Postgres { url: database_url.to_owned() },
            ("redis", Some(port), _) => Probe::Redis { port },
            ("nats", Some(port), _) => Probe::Nats { port },
            (.., Some(ops_port)) => Probe::Http { ops_port, path: "readyz" },
            _ => return Err("it cannot be asked".to_owned()),
        };
        probe.ask().await
    }
}

/// Whether a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It does. Whether it is ready is another question: [`Stack::ready`](crate::Stack::ready).
    Running,
    /// It died, and will be started again.
    Restarting,
    /// It was stopped, or died where nothing is started again.
    Stopped,
}

/// Something that happened to a process after the stack was started.
#[derive(Clone, Debug)]
pub enum Event {
    /// It died without having been told to.
    Died {
        /// Which.
        name: String,
        /// How; `None` where it could not even be started.
        status: Option<ExitStatus>,
        /// Milliseconds until it is started again; `None` where it is not.
        again_in: Option<u64>,
    },
    /// It was started again. That it is ready again is not said here.
    Started {
        /// Which.
        name: String,
        /// Its new pid.
        pid: u32,
    },
    /// It was stopped on demand.
    Stopped {
        /// Which.
        name: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Died { name, status, again_in } => {
                write!(f, "{name} died")?;
                if let Some(status) = status {
                    write!(f, " ({status})")?;
                }
                match again_in {
                    Some(0) => f.write_str(", starting it again"),
                    Some(wait) => write!(f, "; it keeps dying, so it is started again in {wait} ms"),
                    None => Ok(()),
                }
            }
            Event::Started { name, pid } => write!(f, "{name} started again (pid {pid})"),
            Event::Stopped { name } => write!(f, "{name} stopped"),
        }
    }
}
