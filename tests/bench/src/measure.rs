//! One measurement: a load, and what it costs whom.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tokio_postgres::Client;

use crate::accounts::{self, Cpu, Process};
use crate::book::{Sample, milliseconds};
use crate::load::{self, Edge, Pace, Plan, Requests, Until};
use crate::stage::{Stage, created};

/// What to measure.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) servers: Vec<SocketAddr>,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    pub(crate) until: Until,
    pub(crate) expect: u16,
    /// Whether the workers' runs are to be counted.
    pub(crate) runs: bool,
}

impl Load {
    /// From so many connections, each with one delivery in flight.
    pub(crate) fn closed(servers: Vec<SocketAddr>, connections: usize, time: Duration) -> Self {
        let until = Until::Time { warm: time / 4, measured: time };
        Self { servers, connections, pace: Pace::Closed, until, expect: 202, runs: false }
    }

    /// So many a second.
    pub(crate) fn open(servers: Vec<SocketAddr>, rate: u32, time: Duration) -> Self {
        Self { pace: Pace::Open(f64::from(rate)), ..Self::closed(servers, 128, time) }
    }

    /// So many altogether, from so many connections.
    pub(crate) fn count(servers: Vec<SocketAddr>, connections: usize, count: u64) -> Self {
        Self { until: Until::Count(count), ..Self::closed(servers, connections, Duration::ZERO) }
    }

    pub(crate) fn counting_runs(self) -> Self {
        Self { runs: true, ..self }
    }

    pub(crate) fn expecting(self, expect: u16) -> Self {
        Self { expect, ..self }
    }
}

/// What is read as a load begins to count and as it ends.
struct Reading {
    at: Instant,
    cpu: Cpu,
    stolen: Duration,
    created: u64,
}

impl Reading {
    fn take(database: &Client, processes: &[Process], runs: bool, runtime: &Handle) -> Result<Self> {
        let created = if runs { runtime.block_on(created(database))? } else { 0 };
        Ok(Self { cpu: accounts::cpu(processes)?, stolen: accounts::stolen()?, created, at: Instant::now() })
    }
}

/// A load that was put on.
pub(crate) struct Measured {
    load: load::Load,
    readings: [Reading; 2],
    processes: Vec<Process>,
    runs: bool,
    /// Deliveries in each request.
    lines: u64,
}

/// Puts the load on, reads the accounts as it begins to count and as it ends, and makes a sample of it.
pub(crate) fn measure(stage: &Stage, load: &Load, requests: &mut Requests) -> Result<Sample> {
    put_on(stage, load, requests)?.sample()
}

/// Returns as soon as all are answered.
pub(crate) fn put_on(stage: &Stage, load: &Load, requests: &mut Requests) -> Result<Measured> {
    let processes = stage.processes();
    accounts::forget_peaks(&processes);
    let plan = Plan {
        servers: &load.servers,
        connections: load.connections,
        pace: load.pace,
        until: load.until,
        expect: load.expect,
    };
    let (tell, edges) = mpsc::channel();
    let runtime = Handle::current();
    // The runtime has other threads for the stack, and nothing else to do meanwhile.
    let (done, readings) = block_in_place(|| {
        thread::scope(|scope| {
            // On a thread of its own: it takes milliseconds, and no delivery is to wait for it.
            let (database, processes) = (&stage.database, &processes);
            let take = move |_: Edge| Reading::take(database, processes, load.runs, &runtime);
            let reader = scope.spawn(move || edges.into_iter().map(take).collect::<Result<Vec<_>>>());
            let done = load::drive(&plan, requests, |edge| _ = tell.send(edge));
            drop(tell);
            (done, reader.join())
        })
    });
    let done = done?;
    let readings = readings.map_err(|_| anyhow!("reading the accounts"))??;
    let readings = <[_; 2]>::try_from(readings).map_err(|_| anyhow!("a load begins and ends once"))?;
    Ok(Measured { load: done, readings, processes, runs: load.runs, lines: requests.lines() })
}

impl Measured {
    /// To read how much memory they all had takes a moment.
    pub(crate) fn sample(self) -> Result<Sample> {
        let [before, after] = self.readings;
        let (time, used) = (after.at - before.at, accounts::between(&before.cpu, &after.cpu));
        let mut cpu_us = accounts::each(&used, (self.load.answers * self.lines) as f64);
        let runs = (after.created - before.created) as f64;
        if runs > 0.0 {
            // Theirs is the cost of what they did. Were they behind, a share of the answers would flatter them.
            let of_runs = accounts::each(&used, runs);
            cpu_us.extend(of_runs.into_iter().filter(|(name, _)| ["worker", "postgres"].contains(&name.as_str())));
        }
        Ok(Sample {
            per_second: self.load.rate() * self.lines as f64,
            runs_per_second: self.runs.then(|| runs / time.as_secs_f64()),
            latency_ms: milliseconds(&self.load.latency),
            cpu_us,
            peak_bytes: accounts::peak(&self.processes)?,
            stolen: Some(accounts::share(after.stolen.saturating_sub(before.stolen), time)),
            ..Sample::default()
        })
    }
}
