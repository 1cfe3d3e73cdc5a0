//! The queue as the gateway meets it: full, over its budget, lost, slow.

use async_nats::jetstream;
use harness::{World, eventually};
use local::Extra;
use proto::queue::STREAM;

async fn refused(world: &World, playbook: &harness::Playbook) {
    eventually("deliveries are refused", async || {
        let answer = world.send(playbook.delivery(&uuid::Uuid::new_v4().to_string())).await;
        (answer.status == 503).then(|| answer.refused(503, "unavailable"))
    })
    .await;
}

async fn accepted(world: &World, playbook: &harness::Playbook) {
    eventually("deliveries are accepted again", async || {
        let answer = world.send(playbook.delivery(&uuid::Uuid::new_v4().to_string())).await;
        (answer.status == 202).then_some(())
    })
    .await;
}

/// A full stream refuses, it never drops what it accepted; operators are told.
#[tokio::test]
async fn full() {
    let few = Extra::new().env("RUNLATCH_STREAM_MAX_MESSAGES", "3");
    let world = World::with(|builder| builder.worker(few)).await;
    let deploy = world.playbook("acme/deploy").await;
    world.stack.stop("worker-1").await.expect("stops");
    for key in ["a", "b", "c"] {
        world.send(deploy.delivery(key)).await.created();
    }
    world.send(deploy.delivery("d")).await.refused(503, "unavailable");
    let (status, text) = world.ops("gateway-1", "/readyz").await;
    assert!(status == 200 && text.contains("degraded: nats: publish was refused"), "{text}");

    world.stack.start("worker-1").await.expect("starts");
    // The refusal has left the key bound to its own payload: its retry is helped.
    let retried = eventually("there is room again", async || {
        let answer = world.send(deploy.delivery("d")).await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    retried.replayed();
    world.settled().await;
    let keys: Vec<_> = world.runs().await.into_iter().map(|run| run.key).collect();
    assert_eq!(keys, ["a", "b", "c", "d"]);
    world.end().await;
}

/// At 90 % of the byte budget intake stops, before a key is claimed.
#[tokio::test]
async fn over_its_byte_budget() {
    let world = World::with(|builder| builder.gateway(Extra::new().env("RUNLATCH_QUEUE_BYTES", "20000"))).await;
    let deploy = world.playbook("acme/deploy").await;
    world.stack.stop("worker-1").await.expect("stops");
    refused(&world, &deploy).await;
    world.send(deploy.delivery("new")).await.refused(503, "unavailable");
    assert!(!world.claimed("new").await);
    let (status, text) = world.ops("gateway-1", "/readyz").await;
    assert!(status == 503 && text.contains("byte budget"), "{text}");
    world.stack.start("worker-1").await.expect("starts");
    accepted(&world, &deploy).await;
    world.end().await;
}

/// What a deleted stream held comes back by retries, although their claims were marked.
#[tokio::test]
async fn lost() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    world.stack.stop("worker-1").await.expect("stops");
    let created = world.send(deploy.delivery("k")).await.created();
    let marked = world.marked(created.run).await;
    let context = jetstream::new(async_nats::connect(world.stack.nats_url()).await.expect("connects"));
    context.delete_stream(STREAM).await.expect("deleted");

    eventually("the gateway notices", async || {
        (world.send(deploy.delivery("other")).await.status == 503).then_some(())
    })
    .await;
    world.stack.start("worker-1").await.expect("starts");
    world.stack.ready("gateway-1").await.expect("ready");
    assert_eq!(world.send(deploy.delivery("k")).await.replayed(), created);
    let run = world.only_run().await;
    assert_eq!((run.id, run.accepted_at), (created.run, created.timestamp));
    eventually("the mark names the new stream", async || {
        (world.marked(created.run).await.epoch != marked.epoch).then_some(())
    })
    .await;
    world.end().await;
}

/// A caller that hangs up removes nothing.
#[tokio::test]
async fn a_caller_hangs_up() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    world.stack.freeze("nats").await.expect("freezes");
    let mut raw = harness::raw::Raw::connect(&world.stack.url()).await;
    raw.send(format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nx-webhook-secret: {}\r\nx-idempotency-key: k\r\ncontent-length: 2\r\n\r\n{{}}",
        deploy.path, deploy.secret
    ))
    .await;
    eventually("it is on its way", async || {
        let grouped = world.metric("gateway-1", "runlatch_gateway_message_deliveries_count").await;
        (grouped == Some(1.0)).then_some(())
    })
    .await;
    drop(raw);
    eventually("the gateway notices", async || {
        (world.metric("gateway-1", "runlatch_gateway_connections").await <= Some(1.0)).then_some(())
    })
    .await;
    world.stack.thaw("nats").await.expect("thaws");
    eventually("its run is there", async || (world.count("runs").await == 1).then_some(())).await;
    world.send(deploy.delivery("k").body("{}")).await.replayed();
    world.end().await;
}
