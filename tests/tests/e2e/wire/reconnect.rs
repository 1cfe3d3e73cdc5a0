//! Connections that fail while they are made, or died without a word.

use std::time::{Duration, Instant};

use harness::{World, eventually};
use local::{Role, Server, Toward};

use super::{all_well, impatient};

#[tokio::test]
async fn succeeds_by_itself() {
    let world = World::with(impatient).await;
    let deploy = world.playbook("acme/deploy").await;

    // Within the first word, the first line, and what comes next. Redis says little.
    for (server, places) in [(Server::Postgres, [1, 20, 300]), (Server::Redis, [1, 3, 6]), (Server::Nats, [1, 20, 300])]
    {
        for bytes in places {
            let wire = world.stack.wire(server);
            wire.cut();
            let before = wire.counts().cut;
            wire.cut_after(bytes, Toward::Client);
            eventually("it is cut off while it connects", async || (wire.counts().cut > before).then_some(())).await;
            wire.heal().await;
        }
        all_well(&world, &deploy).await;
    }

    // A byte at a time is as good as all at once.
    for server in Server::ALL {
        world.stack.wire(server).chop(1);
        world.stack.wire(server).cut();
    }
    all_well(&world, &deploy).await;
    world.send(deploy.delivery("bytes")).await.created();
    world.settled().await;
    for server in Server::ALL {
        world.stack.wire(server).heal().await;
    }

    // Accepted, and then nothing. Healing does not help those that wait for a greeting: they must give up by themselves.
    for server in Server::ALL {
        let wire = world.stack.wire(server);
        let before = wire.counts();
        wire.black_hole();
        wire.cut();
        // One of each kind of program.
        let all = if server == Server::Redis { 1 } else { 2 };
        let connecting = async || (wire.counts().accepted >= before.accepted + all).then_some(());
        eventually("they connect to nothing", connecting).await;
    }
    for server in Server::ALL {
        world.stack.wire(server).heal().await;
    }
    all_well(&world, &deploy).await;

    listening_in_vain(&world).await;
    world.end().await;
}

/// Who listens sends nothing, and would never learn that nobody speaks any more: the catalog's heartbeat does.
async fn listening_in_vain(world: &World) {
    let wire = world.stack.wire_of(Role::Gateway, Server::Postgres);
    let before = wire.counts().accepted;
    wire.black_hole();
    // For new connections. The old one stays dead.
    wire.heal().await;
    let began = Instant::now();
    // Waits until a secret that did not exist before is in force.
    let notify = world.playbook("acme/notify").await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(wire.counts().accepted > before);
    world.send(notify.delivery("heard")).await.created();
    world.settled().await;
}
