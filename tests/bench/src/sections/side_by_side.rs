//! The floor, the alternative, the gateway, the whole pipeline and the peers, one after the other for each load in each round: what
//! is compared is seconds apart.

use anyhow::Result;

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
    /// The gateway alone.
    Gateway,
    /// The gateway with a worker.
    Pipeline,
    Restate,
}

impl System {
    /// In the first round; in each other one another is first.
    const ORDER: [Self; 5] = [Self::Floor, Self::Gateway, Self::Insert, Self::Pipeline, Self::Restate];

    fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Insert => "insert",
            Self::Gateway => "gateway",
            Self::Pipeline => "pipeline",
            Self::Restate => "restate",
        }
    }
}

/// How they are sent.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Closed(usize),
    Open(u32),
}

impl Sent {
    /// Part of the measurement's name.
    fn name(self) -> String {
        match self {
            Self::Closed(connections) => format!("closed.{connections}"),
            Self::Open(rate) => format!("open.{rate}"),
        }
    }

    fn to(self, servers: Vec<std::net::SocketAddr>, bench: &Bench) -> Load {
        match self {
            Self::Closed(connections) => Load::closed(servers, connections, bench.time()),
            Self::Open(rate) => Load::open(servers, rate, bench.time()),
        }
    }
}

/// One round.
pub(crate) async fn round(bench: &mut Bench, round: usize) -> Result<()> {
    let mut order = System::ORDER;
    order.rotate_left(round % System::ORDER.len());
    for sent in CONNECTIONS.map(Sent::Closed).into_iter().chain(RATES.map(Sent::Open)) {
        for system in order {
            let name = format!("{}.{}", system.name(), sent.name());
            if bench.wants(&name) {
                measure(bench, &name, system, sent).await?;
            }
        }
    }
    Ok(())
}

async fn measure(bench: &mut Bench, name: &str, system: System, sent: Sent) -> Result<()> {
    bench.stage.clear().await?;
    match system {
        System::Floor => bench.measure(name, &sent.to(vec![bench.stage.floor.address], bench)),
        System::Insert => bench.measure(name, &sent.to(vec![bench.stage.insert.address], bench)),
        System::Pipeline => bench.pipeline(name, sent.to(bench.stage.gateways(), bench)).await,
        System::Gateway => {
            bench.stage.stop_workers().await?;
            let first = bench.requests.next();
            bench.measure(name, &sent.to(bench.stage.gateways(), bench))?;
            // Nobody measures how: the queue is to be empty for the next one.
            bench.stage.start_worker().await?;
            bench.stage.settled(bench.requests.next() - first).await
        }
        System::Restate => peers::measure(bench, name, sent.to(vec![], bench)).await,
    }
}
