//! What is sent to Postgres and never answered must not be waited for, whatever it was.

use harness::{World, eventually};
use local::{Extra, Role, Server};

use super::impatient;

/// Merging the record is no batch: nobody would miss its answer, and its connection would be gone from the pool for good.
#[tokio::test]
async fn merging_goes_on() {
    let often = Extra::new().env("RUNLATCH_COMPACT_INTERVAL", "1s").env("RUNLATCH_MAX_HOLD", "3s");
    let world = World::with(|builder| impatient(builder).worker(often)).await;
    let deploy = world.playbook("acme/deploy").await;
    let superuser = world.stack.database_url(Role::Superuser);
    let (locker, connection) = tokio_postgres::connect(&superuser, tokio_postgres::NoTls).await.expect("connects");
    tokio::spawn(connection);
    let known = async || (world.count("settled_sequences").await == 1).then_some(());
    eventually("the worker has made the stream known", known).await;
    locker.batch_execute("BEGIN; LOCK TABLE settled_sequences").await.expect("locked");
    eventually("a merge waits", async || {
        // Nothing else asks for that table: nothing has been sent yet.
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'settled_sequences'::regclass";
        let count: i64 = locker.query_one(waiting, &[]).await.expect("a count").get(0);
        (count > 0).then_some(())
    })
    .await;
    let wire = world.stack.wire_of(Role::Worker, Server::Postgres);
    wire.black_hole();
    wire.heal().await;
    locker.batch_execute("ROLLBACK").await.expect("unlocked");

    for key in ["a", "b"] {
        world.send(deploy.delivery(key)).await.created();
        world.settled().await;
    }
    eventually("their rows are merged", known).await;
    world.end().await;
}

/// What the probe's connection died of, the idle ones may have died of too. To find out one by one, the probe's five
/// seconds for each, would take longer than this waits.
#[tokio::test]
async fn idle_connections_are_not_tried_in_turn() {
    const LANES: usize = 12;
    let many = Extra::new().env("RUNLATCH_LANES", LANES.to_string()).env("RUNLATCH_BATCH_MESSAGES", "1");
    let world = World::with(|builder| builder.wire(true).worker(many)).await;
    let deploy = world.playbook("acme/deploy").await;
    let wire = world.stack.wire_of(Role::Worker, Server::Postgres);
    let locker = world.login(Role::Superuser).await;
    // Keeps rows out and lets readers in, so that Postgres is well for the probe and the lanes go on pulling.
    locker.batch_execute("BEGIN; LOCK TABLE runs IN SHARE MODE").await.expect("locked");
    // One after the other, so that each is a message of its own, for a lane of its own.
    for index in 0..LANES {
        world.send(deploy.delivery(&index.to_string())).await.created();
    }
    eventually("every lane has a connection, and waits", async || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'runs'::regclass";
        let count: i64 = locker.query_one(waiting, &[]).await.expect("a count").get(0);
        (count == LANES as i64).then_some(())
    })
    .await;
    locker.batch_execute("ROLLBACK").await.expect("unlocked");
    world.settled().await;
    assert!(wire.counts().live >= LANES as u64, "{:?}", wire.counts());

    wire.black_hole();
    eventually("the probe fails", async || (world.ops("worker-1", "/readyz").await.0 == 503).then_some(())).await;
    wire.heal().await;
    world.stack.ready("worker-1").await.expect("it has found a connection that works");
    world.send(deploy.delivery("after")).await.created();
    world.settled().await;
    assert_eq!(world.count("runs").await, LANES as i64 + 1);
    world.end().await;
}
