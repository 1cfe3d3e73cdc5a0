//! What others have built for the same purpose, installed by their own package manager.

mod restate;

use anyhow::Result;

pub(crate) use self::restate::Restate;
use crate::bench::{BODY, Bench};
use crate::load::Requests;
use crate::sections::side_by_side::Sent;

/// Deliveries a second beyond which it would be the length of its queue that is measured.
const MOST: u32 = 1000;

/// The peer that is installed, if one is. It is started for each measurement and is gone afterwards: it begins without a backlog,
/// and what it does by itself disturbs no other. Whatever goes wrong with it is told, and ends nothing else.
pub(crate) async fn measure(bench: &mut Bench, name: &str, sent: Sent) -> Result<()> {
    if matches!(sent, Sent::Open(rate) if rate > MOST) {
        return Ok(());
    }
    let done = measure_restate(bench, name, sent).await;
    bench.stage.peer = None;
    if let Err(error) = done {
        bench.failures.push(format!("{name}: {error:#}"));
        bench.restate = None;
    }
    Ok(())
}

async fn measure_restate(bench: &mut Bench, name: &str, sent: Sent) -> Result<()> {
    let Some(installed) = bench.restate.clone() else { return Ok(()) };
    bench.progress.step("starting Restate");
    let restate = bench.stage.peer.insert(Restate::start(&installed).await?);
    let load = sent.to(vec![restate.address], bench);
    let mut requests = Requests::to_restate(restate::PATH, 0, BODY)?;
    bench.measure_with(name, &load, &mut requests)?;
    // What it has accepted is to be handled: none of it is lost.
    match &bench.stage.peer {
        Some(restate) => restate.settled(requests.next()).await,
        None => Ok(()),
    }
}
