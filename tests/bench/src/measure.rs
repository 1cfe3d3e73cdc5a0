//! One measurement: a load, and what it costs whom.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
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
    pub(crate) fn open(servers: Vec<SocketAddr>, rate: f64, time: Duration) -> Self {
        Self { pace: Pace::Open(rate), ..Self::closed(servers, 128, time) }
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
        load::drive(&plan, requests, |edge: Edge| {
            let created = if load.runs { Handle::current().block_on(stage.created()).unwrap_or_default() } else { 0 };
            readings.push((edge, accounts::cpu(&processes), created));
        })
    })?;
    let peak_bytes = accounts::peak(&processes)?;
    let [(_, before, created_before), (_, after, created_after)] =
        <[_; 2]>::try_from(readings).map_err(|_| anyhow::anyhow!("a load begins and ends once"))?;
    let used = accounts::between(&before?, &after?);
    let cpu_us = used.into_iter().map(|(name, used)| (name, used.as_secs_f64() * 1e6 / done.answers as f64)).collect();
    let runs = (created_after - created_before) as f64 / done.time.as_secs_f64();
    Ok(Sample {
        per_second: done.rate(),
        runs_per_second: load.runs.then_some(runs),
        latency_ms: milliseconds(&done.latency),
        cpu_us,
        peak_bytes,
    })
}
