//! What others have built for the same purpose, installed by their own package manager.

mod restate;

use anyhow::Result;

pub(crate) use self::restate::Restate;
use crate::bench::{BODY, Bench};
use crate::load::Requests;
use crate::measure::Load;

/// Puts a load on the peer that is installed, if one is, wherever the load was for. It is started for each measurement and is gone
/// afterwards: it begins without a backlog, and what it does by itself disturbs no other. Whatever goes wrong with it is told, and
/// ends nothing else.
pub(crate) async fn measure(bench: &mut Bench, name: &str, load: Load) -> Result<()> {
    let done = measure_restate(bench, name, load).await;
    bench.stage.peer = None;
    if let Err(error) = done {
        bench.failures.push(format!("{name}: {error:#}"));
        bench.restate = None;
    }
    Ok(())
}

async fn measure_restate(bench: &mut Bench, name: &str, load: Load) -> Result<()> {
    let Some(installed) = bench.restate.clone() else { return Ok(()) };
    bench.progress.step("starting Restate");
    let restate = bench.stage.peer.insert(Restate::start(&installed).await?);
    let load = Load { servers: vec![restate.address], ..load };
    let mut requests = Requests::to_restate(restate::PATH, 0, BODY)?;
    bench.measure_with(name, &load, &mut requests)?;
    // What it has accepted is to be handled: none of it is lost.
    match &bench.stage.peer {
        Some(restate) => restate.settled(requests.next()).await,
        None => Ok(()),
    }
}
