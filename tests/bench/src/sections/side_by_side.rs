//! The floor, the alternative, the gateway and the whole pipeline, one after the other in each round; and the backlog that
//! this leaves, drained by the workers and copied into another table.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::{SinkExt, TryStreamExt};
use tokio::time::sleep;

use crate::accounts;
use crate::book::{Book, Sample};
use crate::load::Requests;
use crate::measure::{Load, measure};
use crate::stage::Stage;

/// Connections with a delivery in flight each.
pub(crate) const CONNECTIONS: [usize; 4] = [1, 8, 64, 256];
/// Deliveries a second.
pub(crate) const RATES: [u32; 3] = [1000, 5000, 10_000];
/// Bytes of a body.
pub(crate) const BODY: usize = 450;

pub(crate) struct Times {
    pub(crate) closed: Duration,
    pub(crate) open: Duration,
}

/// One round, of those measurements whose names have `only` in them.
pub(crate) async fn round(
    stage: &mut Stage,
    book: &mut Book,
    requests: &mut Requests,
    times: &Times,
    only: &str,
) -> Result<()> {
    stage.clear().await?;
    let wanted = |name: &str| name.contains(only);
    for (system, server) in [("floor", stage.floor.address), ("insert", stage.insert.address)] {
        for connections in CONNECTIONS {
            let load = Load::closed(vec![server], connections, times.closed);
            let name = format!("{system}.closed.{connections}");
            if wanted(&name) {
                book.note(&name, measure(stage, &load, requests)?);
            }
        }
        for rate in RATES {
            let load = Load::open(vec![server], f64::from(rate), times.open);
            let name = format!("{system}.open.{rate}");
            if wanted(&name) {
                book.note(&name, measure(stage, &load, requests)?);
            }
        }
    }
    let first = requests.next();
    for connections in CONNECTIONS {
        let load = Load::closed(stage.gateways(), connections, times.closed).counting_runs();
        let name = format!("pipeline.closed.{connections}");
        if wanted(&name) {
            book.note(&name, measure(stage, &load, requests)?);
        }
        stage.settled(requests.next() - first).await?;
    }
    for rate in RATES {
        let load = Load::open(stage.gateways(), f64::from(rate), times.open).counting_runs();
        let name = format!("pipeline.open.{rate}");
        if wanted(&name) {
            book.note(&name, measure(stage, &load, requests)?);
        }
    }
    stage.settled(requests.next() - first).await?;
    stage.stop_workers().await?;
    stage.clear().await?;
    let first = requests.next();
    for connections in CONNECTIONS {
        let load = Load::closed(stage.gateways(), connections, times.closed);
        let name = format!("gateway.closed.{connections}");
        if wanted(&name) {
            book.note(&name, measure(stage, &load, requests)?);
        }
    }
    for rate in RATES {
        let load = Load::open(stage.gateways(), f64::from(rate), times.open);
        let name = format!("gateway.open.{rate}");
        if wanted(&name) {
            book.note(&name, measure(stage, &load, requests)?);
        }
    }
    if requests.next() == first {
        return stage.start_workers().await;
    }
    book.note("drain", drain(stage, requests.next() - first).await?);
    book.note("copy", copy(stage).await?);
    Ok(())
}

/// Lets the workers drain what waits, and times it from the first rows to the last.
pub(crate) async fn drain(stage: &Stage, waiting: u64) -> Result<Sample> {
    let before = stage.created().await?;
    stage.start_workers().await?;
    let processes = stage.processes();
    accounts::forget_peaks(&processes);
    let mut began = None;
    loop {
        let created = stage.created().await? - before;
        let now = Instant::now();
        match began {
            None if created > 0 => began = Some((now, created, accounts::cpu(&processes)?)),
            Some((since, first, cpu)) if created >= waiting => {
                let rows = (created - first) as f64;
                let used = accounts::between(&cpu, &accounts::cpu(&processes)?);
                return Ok(Sample {
                    per_second: rows / (now - since).as_secs_f64(),
                    cpu_us: used.into_iter().map(|(name, used)| (name, used.as_secs_f64() * 1e6 / rows)).collect(),
                    peak_bytes: accounts::peak(&processes)?,
                    ..Sample::default()
                });
            }
            other => began = other,
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// What the drain has made, once more, by one COPY.
async fn copy(stage: &Stage) -> Result<Sample> {
    let rows = stage.database.copy_out("COPY runs TO STDOUT BINARY").await?.try_collect::<Vec<_>>().await?;
    let processes = stage.processes();
    let (before, began) = (accounts::cpu(&processes)?, Instant::now());
    let mut sink = Box::pin(stage.database.copy_in("COPY copied FROM STDIN BINARY").await?);
    for row in rows {
        sink.feed(row).await?;
    }
    let count = sink.as_mut().finish().await? as f64;
    let took = began.elapsed();
    let used = accounts::between(&before, &accounts::cpu(&processes)?);
    anyhow::ensure!(count > 0.0, "nothing was copied");
    Ok(Sample {
        per_second: count / took.as_secs_f64(),
        cpu_us: used.into_iter().map(|(name, used)| (name, used.as_secs_f64() * 1e6 / count)).collect(),
        ..Sample::default()
    })
}
