//! Many deliveries at once, as fast as one client can send them: how soon all are answered, and how soon all are rows.

use std::time::Instant;

use anyhow::Result;

use crate::accounts;
use crate::bench::Bench;
use crate::measure::{Load, measure};

const CONNECTIONS: usize = 256;

/// One round: the plain INSERT, whose rows are there when it answers, and the gateway with its worker.
pub(crate) async fn round(bench: &mut Bench, round: usize) -> Result<()> {
    let mut systems = ["burst.insert", "burst.pipeline"];
    systems.rotate_left(round % 2);
    for name in systems {
        if bench.wants(name) {
            bench.stage.clear().await?;
            bench.progress.step(name);
            burst(bench, name).await?;
        }
    }
    Ok(())
}

async fn burst(bench: &mut Bench, name: &str) -> Result<()> {
    let (stage, count) = (&bench.stage, bench.settings.sizes.burst);
    let through_queue = name.ends_with("pipeline");
    let servers = if through_queue { stage.gateways() } else { vec![stage.insert.address] };
    let processes = stage.processes();
    let (before, began) = (accounts::cpu(&processes)?, Instant::now());
    let mut sample = measure(stage, &Load::count(servers, CONNECTIONS, count), &mut bench.requests)?;
    if through_queue {
        stage.settled(count).await?;
        sample.runs_per_second = Some(count as f64 / began.elapsed().as_secs_f64());
        // To the last row, not to the last answer.
        let used = accounts::between(&before, &accounts::cpu(&processes)?);
        sample.cpu_us = accounts::each(&used, count as f64);
    } else {
        sample.runs_per_second = Some(sample.per_second);
    }
    sample.seconds = [("answers", sample.per_second), ("rows", sample.runs_per_second.unwrap_or_default())]
        .map(|(what, rate)| (what, count as f64 / rate))
        .into();
    bench.note(name, sample);
    Ok(())
}
