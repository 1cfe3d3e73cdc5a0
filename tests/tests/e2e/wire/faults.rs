//! Every fault on the way to every server, under a burst of duplicates.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use harness::{World, eventually};
use local::{Server, Toward, Wire};

use super::{all_well, impatient, sender::Sender};

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// All comes late, and in pieces.
    Slow,
    /// Reset in the middle of what is sent to the server, or answered by it.
    Cut(Toward),
    /// One end is told that the other has finished.
    HalfClosed(Toward),
    /// Nothing comes through; all comes later.
    Held,
    /// Nothing comes through, or ever will.
    Swallowed,
    /// Cut, and refused from then on.
    Refused,
}

const FAULTS: [Fault; 8] = [
    Fault::Slow,
    Fault::Cut(Toward::Server),
    Fault::Cut(Toward::Client),
    Fault::HalfClosed(Toward::Server),
    Fault::HalfClosed(Toward::Client),
    Fault::Held,
    Fault::Swallowed,
    Fault::Refused,
];

#[tokio::test]
async fn to_redis() {
    every_fault(Server::Redis).await;
}

#[tokio::test]
async fn to_nats() {
    every_fault(Server::Nats).await;
}

#[tokio::test]
async fn to_postgres() {
    every_fault(Server::Postgres).await;
}

async fn every_fault(server: Server) {
    let world = World::with(|builder| impatient(builder).gateways(2).workers(2)).await;
    let deploy = world.playbook("acme/deploy").await;
    for (number, fault) in FAULTS.into_iter().enumerate() {
        let sender = Sender::new(&world, &deploy, &format!("{number}"));
        let trouble = async {
            passed(&sender.accepted).await;
            fault.strike(&world, server, &sender).await;
            // It goes on under load, by itself.
            passed(&sender.accepted).await;
            sender.stop();
        };
        let (answered, ()) = tokio::join!(sender.run(), trouble);
        all_well(&world, &deploy).await;
        sender.proved(&answered).await;
    }
    world.end().await;
}

/// Waits until some more have been counted.
async fn passed(counter: &AtomicU64) {
    let before = counter.load(Ordering::Relaxed);
    eventually("deliveries pass", async || (counter.load(Ordering::Relaxed) >= before + 20).then_some(())).await;
}

impl Fault {
    /// Makes it, lets it be felt, and heals the wire.
    async fn strike(self, world: &World, server: Server, sender: &Sender<'_>) {
        let wire = world.stack.wire(server);
        match self {
            Fault::Slow => {
                wire.delay(Duration::from_millis(10));
                wire.chop(400);
                passed(&sender.accepted).await;
            }
            Fault::Cut(toward) => {
                // Within a length, a head, an envelope.
                for bytes in [1, 9, 60, 700] {
                    let before = wire.counts().cut;
                    wire.cut_after(bytes, toward);
                    eventually("it is cut", async || (wire.counts().cut > before).then_some(())).await;
                }
            }
            Fault::HalfClosed(toward) => {
                for _ in 0..2 {
                    half_close(&wire, toward).await;
                }
            }
            Fault::Held => {
                wire.hold();
                felt(world, server, sender).await;
            }
            Fault::Swallowed => {
                wire.black_hole();
                felt(world, server, sender).await;
            }
            Fault::Refused => {
                wire.refuse().await;
                wire.cut();
                felt(world, server, sender).await;
            }
        }
        wire.heal().await;
    }
}

async fn half_close(wire: &Wire, toward: Toward) {
    let before = wire.counts();
    wire.half_close(toward);
    eventually("it is connected anew", async || (wire.counts().accepted > before.accepted).then_some(())).await;
}

/// Waits until somebody has noticed: callers, or, since Postgres is nothing to them, the operators.
async fn felt(world: &World, server: Server, sender: &Sender<'_>) {
    let (refused, deferred) = (&sender.refused, &sender.deferred);
    let before = (refused.load(Ordering::Relaxed), deferred.load(Ordering::Relaxed));
    eventually("it is felt", async || {
        let felt = match server {
            Server::Nats => refused.load(Ordering::Relaxed) > before.0,
            Server::Redis => deferred.load(Ordering::Relaxed) > before.1,
            Server::Postgres => world.ops("worker-1", "/readyz").await.0 == 503,
        };
        felt.then_some(())
    })
    .await;
}
