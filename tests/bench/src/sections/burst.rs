//! Many deliveries at once, as fast as one client can send them: how soon all are answered, and how soon all are rows.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::accounts;
use crate::bench::Bench;
use crate::book::Sample;
use crate::load::{Requests, Until};
use crate::measure::{Load, measure, put_on};
use crate::peers;
use crate::stage::Stage;

const CONNECTIONS: usize = 256;

/// One round: the plain INSERT, whose rows are there when it answers, the gateway with its worker, and the peers.
pub(crate) async fn round(bench: &mut Bench, round: usize) -> Result<()> {
    let mut systems = ["burst.insert", "burst.pipeline", "burst.restate"];
    systems.rotate_left(round % 3);
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
    if name.ends_with("restate") {
        return peers::measure(bench, name, Load::count(vec![], CONNECTIONS, count)).await;
    }
    let sample = if name.ends_with("pipeline") {
        let load = Load::count(stage.gateways(), CONNECTIONS, count);
        to_the_last_row(stage, &load, &mut bench.requests).await?
    } else {
        let mut sample =
            measure(stage, &Load::count(vec![stage.insert.address], CONNECTIONS, count), &mut bench.requests)?;
        sample.runs_per_second = Some(sample.per_second);
        let seconds = count as f64 / sample.per_second;
        sample.seconds = [("answers", seconds), ("rows", seconds)].into();
        sample
    };
    bench.note(name, sample);
    Ok(())
}

/// Deliveries through the whole pipeline after the tables were emptied, and what they cost by the time that the last one is a row.
pub(super) async fn to_the_last_row(stage: &Stage, load: &Load, requests: &mut Requests) -> Result<Sample> {
    let Until::Count(count) = load.until else { bail!("a load without end") };
    let (processes, began) = (stage.processes(), Instant::now());
    let before = accounts::cpu(&processes)?;
    let measured = put_on(stage, load, requests)?;
    stage.settled(count).await?;
    let (took, used) = (began.elapsed(), accounts::between(&before, &accounts::cpu(&processes)?));
    let mut sample = measured.sample()?;
    sample.runs_per_second = Some(count as f64 / took.as_secs_f64());
    sample.cpu_us = accounts::each(&used, count as f64);
    sample.seconds = [("answers", count as f64 / sample.per_second), ("rows", took.as_secs_f64())].into();
    Ok(sample)
}
