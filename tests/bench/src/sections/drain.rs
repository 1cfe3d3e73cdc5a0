//! How fast what waits becomes rows, and how fast rows can become rows.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::{SinkExt, TryStreamExt};
use tokio::time::sleep;

use crate::accounts;
use crate::bench::Bench;
use crate::book::Sample;
use crate::measure::{Load, measure};
use crate::stage::{PATIENCE, Stage};

/// That fill the queue.
const CONNECTIONS: usize = 256;

/// One round: a backlog that the gateway alone leaves, drained by the worker and copied into another table.
pub(crate) async fn round(bench: &mut Bench) -> Result<()> {
    if !bench.wants_any(["drain", "copy"]) {
        return Ok(());
    }
    bench.stage.stop_workers().await?;
    bench.stage.clear().await?;
    bench.progress.step("deliveries to be drained");
    let waiting = bench.settings.sizes.waiting;
    measure(&bench.stage, &Load::count(bench.stage.gateways(), CONNECTIONS, waiting), &mut bench.requests)?;
    bench.progress.step("drain");
    let sample = drain(&bench.stage, waiting).await?;
    bench.note("drain", sample);
    if bench.wants("copy") {
        bench.progress.step("copy");
        let sample = copy(&bench.stage).await?;
        bench.note("copy", sample);
    }
    Ok(())
}

/// Starts the worker, lets it drain what waits, and times it from the first rows to the last.
pub(crate) async fn drain(stage: &Stage, waiting: u64) -> Result<Sample> {
    let before = stage.created().await?;
    accounts::forget_peaks(&stage.processes());
    // Watched from the beginning: by the time that it says that it is ready it may have drained a little.
    let (started, drained) = tokio::join!(stage.start_worker(), watch(stage, before, waiting));
    started?;
    drained
}

async fn watch(stage: &Stage, before: u64, waiting: u64) -> Result<Sample> {
    let mut processes = Vec::new();
    let (mut began, deadline) = (None, Instant::now() + PATIENCE);
    loop {
        let created = stage.created().await? - before;
        let now = Instant::now();
        match began {
            None if created > 0 => {
                processes = stage.processes();
                began = Some((now, created, accounts::cpu(&processes)?));
            }
            Some((since, first, cpu)) if created >= waiting => {
                let rows = (created - first) as f64;
                let used = accounts::between(&cpu, &accounts::cpu(&processes)?);
                return Ok(Sample {
                    per_second: rows / (now - since).as_secs_f64(),
                    cpu_us: accounts::each(&used, rows),
                    peak_bytes: accounts::peak(&processes)?,
                    ..Sample::default()
                });
            }
            other => began = other,
        }
        ensure!(now < deadline, "{created} of {waiting} within {PATIENCE:?}");
        ensure!(began.is_none() || stage.processes() == processes, "a process has ended while the queue was drained");
        // Short against the whole, and long enough not to be seen in Postgres' account.
        sleep(Duration::from_millis(10)).await;
    }
}

/// What the drain has made, once more, by one COPY.
pub(crate) async fn copy(stage: &Stage) -> Result<Sample> {
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
    ensure!(count > 0.0, "nothing was copied");
    Ok(Sample { per_second: count / took.as_secs_f64(), cpu_us: accounts::each(&used, count), ..Sample::default() })
}
