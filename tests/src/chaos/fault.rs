//! What can be done to a stack.

use std::fmt;

use fastrand::Rng;
use local::{Role, Server};

/// One fault. Some are over at once, others last until they are ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// SIGKILL; the supervisor starts it again.
    Kill(String),
    /// SIGSTOP.
    Freeze(String),
    /// SIGTERM, and not started again until the end: a rolling restart, or fewer workers.
    Stop(String),
    /// To what Redis holds and takes.
    Redis(Redis),
    /// The stream is deleted, with what it holds.
    DeleteStream,
    /// `runs` is locked: whoever writes waits.
    LockRuns,
    /// Transactions are read-only unless they say otherwise.
    NoWrites,
    /// All sessions of gateways and workers are ended.
    Terminate,
    /// To the wire between the gateways or workers and a server.
    Wire(Role, Server, Fail),
    /// To the catalog, under its senders.
    Catalog(Catalog),
}

/// What Redis is made to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Redis {
    /// Forget everything.
    Flush,
    /// Refuse writes for want of memory.
    Full,
    /// Refuse writes as a replica does.
    ReadOnly,
}

/// What a wire does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fail {
    /// Every piece comes so many milliseconds later.
    Delay(u64),
    /// Bytes come one by one, or nearly so.
    Chop,
    /// Nothing passes until the end, and nothing is lost.
    Hold,
    /// New connections are refused.
    Refuse,
    /// Open connections are reset.
    Cut,
    /// The server's end is closed, the other goes on.
    HalfClose,
    /// All is swallowed, and what is open now stays dead.
    BlackHole,
}

/// What an operator does meanwhile. The places are those of [`drill::places`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Catalog {
    /// A playbook is disabled, and enabled at the end.
    Disable(usize),
    /// The kill switch for everybody is engaged, and released at the end.
    KillSwitch,
    /// A playbook gets another slug, and has its old one again at the end.
    Rename(usize),
    /// A new secret, and the old ones are revoked.
    Rotate(usize),
}

/// How many playbooks there are in the catalog of every world.
const PLACES: usize = 4;

const PROCESSES: [&str; 8] =
    ["redis", "nats", "postgres", "gateway-1", "gateway-2", "worker-1", "worker-2", "worker-3"];

impl Fault {
    /// Draws one. What swallows bytes takes long to be noticed by those whom nobody answers, and is left out of short runs
    /// but for Redis, whose answers are waited for a quarter of a second.
    pub fn draw(rng: &mut Rng, long: bool, may_lose_stream: bool) -> Self {
        let process = |rng: &mut Rng| PROCESSES[rng.usize(..PROCESSES.len())].to_owned();
        match rng.u8(..100) {
            0..18 => Self::Kill(process(rng)),
            18..29 => Self::Freeze(process(rng)),
            29..40 => Self::Stop(process(rng)),
            40..50 => Self::Redis([Redis::Flush, Redis::Full, Redis::ReadOnly][rng.usize(..3)]),
            50..53 if may_lose_stream => Self::DeleteStream,
            50..54 => Self::LockRuns,
            54..57 => Self::NoWrites,
            57..60 => Self::Terminate,
            60..90 => wire(rng, long),
            _ => {
                let place = rng.usize(..PLACES);
                let all =
                    [Catalog::Disable(place), Catalog::KillSwitch, Catalog::Rename(place), Catalog::Rotate(place)];
                Self::Catalog(all[rng.usize(..all.len())])
            }
        }
    }

    /// Whether it goes on until it is ended.
    pub fn lasts(&self) -> bool {
        !matches!(
            self,
            Self::Kill(_)
                | Self::DeleteStream
                | Self::Terminate
                | Self::Redis(Redis::Flush)
                | Self::Catalog(Catalog::Rotate(_))
                | Self::Wire(_, _, Fail::Cut | Fail::HalfClose)
        )
    }

    /// Whether all that comes of it is that somebody must notice: whoever tells the system of a change has told it.
    pub fn is_over_at_once(&self) -> bool {
        !self.lasts() || matches!(self, Self::Catalog(Catalog::Rename(_)))
    }

    /// Whether it is to Redis, or to the gateways' wire to it.
    pub fn is_to_redis(&self) -> bool {
        match self {
            Self::Kill(process) | Self::Freeze(process) | Self::Stop(process) => process == "redis",
            Self::Redis(_) | Self::Wire(_, Server::Redis, _) => true,
            _ => false,
        }
    }

    /// What no other fault may touch while this one lasts, or they would undo each other.
    pub fn occupies(&self) -> String {
        match self {
            Self::Kill(process) | Self::Freeze(process) | Self::Stop(process) => process.clone(),
            Self::Redis(_) => "redis".to_owned(),
            Self::DeleteStream => "nats".to_owned(),
            // The operator's commands are not the ones to be tested here.
            Self::LockRuns | Self::NoWrites | Self::Terminate | Self::Catalog(_) => "postgres".to_owned(),
            Self::Wire(role, server, _) => format!("{role:?}-{server}"),
        }
    }

    /// Its kind, for the figures, and by which a test is held to what it is named for.
    pub fn kind(&self) -> String {
        let part = |process: &str| process.split('-').next().unwrap_or_default().to_owned();
        match self {
            Self::Kill(process) => format!("kill {}", part(process)),
            Self::Freeze(process) => format!("freeze {}", part(process)),
            Self::Stop(process) => format!("stop {}", part(process)),
            Self::Wire(role, server, Fail::Delay(_)) => format!("wire from {role:?} to {server}: Delay"),
            Self::Wire(role, server, fail) => format!("wire from {role:?} to {server}: {fail:?}"),
            Self::Catalog(Catalog::Disable(_)) => "disable".to_owned(),
            Self::Catalog(Catalog::KillSwitch) => "kill switch".to_owned(),
            Self::Catalog(Catalog::Rename(_)) => "rename".to_owned(),
            Self::Catalog(Catalog::Rotate(_)) => "rotate secret".to_owned(),
            Self::Redis(what) => format!("redis: {what:?}"),
            Self::DeleteStream => "delete stream".to_owned(),
            Self::LockRuns => "lock runs".to_owned(),
            Self::NoWrites => "postgres read-only".to_owned(),
            Self::Terminate => "terminate sessions".to_owned(),
        }
    }
}

fn wire(rng: &mut Rng, long: bool) -> Fault {
    let pairs = [
        (Role::Gateway, Server::Redis),
        (Role::Gateway, Server::Nats),
        (Role::Gateway, Server::Postgres),
        (Role::Worker, Server::Nats),
        (Role::Worker, Server::Postgres),
    ];
    let (role, server) = pairs[rng.usize(..pairs.len())];
    let delay = Fail::Delay(rng.u64(1..80));
    let fails = [delay, Fail::Chop, Fail::Hold, Fail::Refuse, Fail::Cut, Fail::HalfClose, Fail::BlackHole];
    let all = if long || server == Server::Redis { fails.len() } else { fails.len() - 1 };
    Fault::Wire(role, server, fails[rng.usize(..all)])
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(process) => write!(f, "kill {process}"),
            Self::Freeze(process) => write!(f, "freeze {process}"),
            Self::Stop(process) => write!(f, "stop {process}"),
            Self::Wire(role, server, fail) => write!(f, "wire from {role:?} to {server}: {fail:?}"),
            Self::Catalog(what) => write!(f, "catalog: {what:?}"),
            other => f.write_str(&other.kind()),
        }
    }
}
