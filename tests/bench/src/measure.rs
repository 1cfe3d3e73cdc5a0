//! One measurement: a load, and what it costs whom.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::accounts;
use crate::book::{Sample, milliseconds};
use crate::load::{self, Edge, Pace, Plan, Requests, Until};
use crate::stage::Stage;

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

/// Puts the load on and reads the accounts as it begins to count and as it ends.
pub(crate) fn measure(stage: &Stage, load: &Load, requests: &mut Requests) -> Result<Sample> {
    let processes = stage.processes();
    accounts::forget_peaks(&processes);
    let mut readings = Vec::new();
    let plan = Plan {
        servers: &load.servers,
        connections: load.connections,
        pace: load.pace,
        until: load.until,
        expect: load.expect,
    };
    // The runtime has other threads for the stack, and nothing else to do meanwhile.
    let done = block_in_place(|| {
        load::drive(&plan, requests, |_: Edge| {
            let created = if load.runs { Handle::current().block_on(stage.created()) } else { Ok(0) };
            readings.push((accounts::cpu(&processes), created));
        })
    })?;
    let peak_bytes = accounts::peak(&processes)?;
    let [(before, created_before), (after, created_after)] =
        <[_; 2]>::try_from(readings).map_err(|_| anyhow!("a load begins and ends once"))?;
    let used = accounts::between(&before?, &after?);
    let mut cpu_us = accounts::each(&used, done.answers as f64);
    let runs = (created_after? - created_before?) as f64;
    if runs > 0.0 {
        // Theirs is the cost of what they did. Were they behind, a share of the answers would flatter them.
        let of_runs = accounts::each(&used, runs);
        cpu_us.extend(of_runs.into_iter().filter(|(name, _)| ["worker", "postgres"].contains(&name.as_str())));
    }
    Ok(Sample {
        per_second: done.rate(),
        runs_per_second: load.runs.then(|| runs / done.time.as_secs_f64()),
        latency_ms: milliseconds(&done.latency),
        cpu_us,
        peak_bytes,
        ..Sample::default()
    })
}
