//! What others have built for the same purpose, installed by their own package manager.

mod restate;

use anyhow::Result;

pub(crate) use self::restate::Restate;
use crate::bench::{BODY, Bench};
use crate::load::Requests;
use crate::measure::Load;
use crate::sections::side_by_side::CONNECTIONS;

/// One round of the peer that is installed. It is started for it and is gone afterwards: it begins without a backlog, and what
/// it does by itself disturbs no other measurement.
pub(crate) async fn round(bench: &mut Bench) -> Result<()> {
    let names = CONNECTIONS.map(|connections| (connections, format!("restate.closed.{connections}")));
    let Some(installed) = bench.restate.clone().filter(|_| bench.wants_any(names.iter().map(|(_, name)| name))) else {
        return Ok(());
    };
    let restate = bench.stage.peer.insert(Restate::start(&installed).await?);
    let mut requests = Requests::to_restate(restate::PATH, 0, BODY)?;
    let address = restate.address;
    for (connections, name) in names {
        let load = Load::closed(vec![address], connections, bench.time());
        bench.measure_with(&name, &load, &mut requests)?;
        if let Some(restate) = &bench.stage.peer {
            restate.settled(requests.next()).await?;
        }
    }
    bench.stage.peer = None;
    Ok(())
}
