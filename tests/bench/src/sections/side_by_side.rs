//! The floor, the alternative, the gateway and the whole pipeline, one after the other in each round; and the backlog that
//! the gateway alone leaves, drained by the worker and copied into another table.

use std::net::SocketAddr;

use anyhow::Result;

use super::drain::{copy, drain};
use crate::bench::Bench;
use crate::measure::Load;
use crate::peers;

/// Connections with a delivery in flight each.
pub(crate) const CONNECTIONS: [usize; 4] = [1, 8, 64, 256];
/// Deliveries a second.
pub(crate) const RATES: [u32; 3] = [1000, 5000, 10_000];

/// Whom the deliveries are sent to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum System {
    Floor,
    Insert,
    /// The gateway with a worker.
    Pipeline,
    /// The gateway alone.
    Gateway,
}

impl System {
    /// So that what is compared is not far apart, and nobody is always first.
    const ORDER: [Self; 4] = [Self::Floor, Self::Insert, Self::Gateway, Self::Pipeline];

    fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Insert => "insert",
            Self::Pipeline => "pipeline",
            Self::Gateway => "gateway",
        }
    }

    /// What is measured of it.
    fn loads(self, bench: &Bench, servers: &[SocketAddr]) -> Vec<(String, Load)> {
        let closed = CONNECTIONS.map(|connections| {
            let load = Load::closed(servers.to_vec(), connections, bench.time());
            (format!("{}.closed.{connections}", self.name()), load)
        });
        let open = RATES.map(|rate| {
            let load = Load::open(servers.to_vec(), rate, bench.time());
            (format!("{}.open.{rate}", self.name()), load)
        });
        closed.into_iter().chain(open).filter(|(name, _)| bench.wants(name)).collect()
    }
}

/// One round.
pub(crate) async fn round(bench: &mut Bench, round: usize) -> Result<()> {
    let mut order = System::ORDER;
    order.rotate_left(round % System::ORDER.len());
    for system in order {
        let servers = match system {
            System::Floor => vec![bench.stage.floor.address],
            System::Insert => vec![bench.stage.insert.address],
            System::Pipeline | System::Gateway => bench.stage.gateways(),
        };
        let loads = system.loads(bench, &servers);
        match system {
            System::Gateway => gateway(bench, &loads).await?,
            _ if loads.is_empty() => {}
            System::Floor | System::Insert => {
                bench.stage.clear().await?;
                loads.iter().try_for_each(|(name, load)| bench.measure(name, load))?;
            }
            System::Pipeline => {
                bench.stage.clear().await?;
                for (name, load) in loads {
                    bench.pipeline(&name, load).await?;
                }
            }
        }
    }
    peers::round(bench).await
}

/// With nobody to take what it puts into the queue; and then with somebody.
async fn gateway(bench: &mut Bench, loads: &[(String, Load)]) -> Result<()> {
    // Something has to wait if a backlog is to be drained.
    let filling = [("backlog".to_owned(), bench.closed(64))];
    let loads = if loads.is_empty() && bench.wants_any(["drain", "copy"]) { &filling } else { loads };
    if loads.is_empty() {
        return Ok(());
    }
    bench.stage.stop_workers().await?;
    bench.stage.clear().await?;
    let first = bench.requests.next();
    for (name, load) in loads {
        bench.progress.step(name);
        let sample = crate::measure::measure(&bench.stage, load, &mut bench.requests)?;
        bench.note(name, sample);
    }
    bench.progress.step("drain");
    let sample = drain(&bench.stage, bench.requests.next() - first).await?;
    bench.note("drain", sample);
    if bench.wants("copy") {
        bench.progress.step("copy");
        let sample = copy(&bench.stage).await?;
        bench.note("copy", sample);
    }
    Ok(())
}
