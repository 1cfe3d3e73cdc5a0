//! The queue as the gateway meets it: over its budget, lost, slow.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use futures_util::future::join_all;
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

/// Waits until a metric of the gateway has this value.
async fn becomes(world: &World, name: &str, value: f64) {
    let name = format!("runlatch_gateway_{name}");
    let reached = async || (world.metric("gateway-1", &name).await == Some(value)).then_some(());
    eventually(&format!("{name} is {value}"), reached).await;
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
        let (status, text) = world.ops("gateway-1", "/readyz").await;
        (status == 503 && text.contains("does not exist")).then_some(())
    })
    .await;
    world.send(deploy.delivery("new")).await.refused(503, "unavailable");
    assert!(!world.claimed("new").await);
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

/// A caller that hangs up removes nothing: neither from what is on its way, nor from what waits for its turn.
#[tokio::test]
async fn callers_hang_up() {
    let world = World::with(|builder| builder.gateway(Extra::new().env("RUNLATCH_PUBLISH_TIMEOUT", "30s"))).await;
    let deploy = world.playbook("acme/deploy").await;
    world.stack.freeze("nats").await.expect("freezes");
    let mut callers = Vec::new();
    // Two may be on their way.
    for (key, claims, messages) in [("a", 1.0, 1.0), ("b", 2.0, 2.0), ("c", 3.0, 2.0)] {
        let mut raw = harness::raw::Raw::connect(&world.stack.url()).await;
        raw.send(format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nx-webhook-secret: {}\r\nx-idempotency-key: {key}\r\ncontent-length: 2\r\n\r\n{{}}",
            deploy.path, deploy.secret
        ))
        .await;
        callers.push(raw);
        becomes(&world, "step_seconds_count{step=\"claim\"}", claims).await;
        becomes(&world, "message_deliveries_count", messages).await;
    }
    drop(callers);
    eventually("the gateway notices", async || {
        (world.metric("gateway-1", "runlatch_gateway_connections").await <= Some(1.0)).then_some(())
    })
    .await;
    world.stack.thaw("nats").await.expect("thaws");
    eventually("their runs are there", async || (world.count("runs").await == 3).then_some(())).await;
    world.send(deploy.delivery("c").body("{}")).await.replayed();
    world.end().await;
}

/// Two messages may be unacknowledged; what arrives meanwhile goes out together as the next.
#[tokio::test]
async fn slow() {
    let world = World::with(|builder| builder.gateway(Extra::new().env("RUNLATCH_PUBLISH_TIMEOUT", "30s"))).await;
    let deploy = world.playbook("acme/deploy").await;
    world.stack.freeze("nats").await.expect("freezes");
    let first = async { world.send(deploy.delivery("a")).await };
    let second = async {
        becomes(&world, "message_deliveries_count", 1.0).await;
        world.send(deploy.delivery("b")).await
    };
    let others = async {
        becomes(&world, "message_deliveries_count", 2.0).await;
        join_all((0..10).map(|index| world.send(deploy.delivery(&format!("c{index}"))))).await
    };
    let thawing = async {
        becomes(&world, "step_seconds_count{step=\"claim\"}", 12.0).await;
        becomes(&world, "message_deliveries_count", 2.0).await;
        world.stack.thaw("nats").await.expect("thaws");
    };
    let (first, second, others, ()) = tokio::join!(first, second, others, thawing);
    for answer in [first, second].iter().chain(&others) {
        answer.created();
    }
    becomes(&world, "message_deliveries_count", 3.0).await;
    world.settled().await;
    assert_eq!(world.count("runs").await, 12);
    world.end().await;
}

/// Who waits for an acknowledgement when the connection breaks is answered then, not when its time is over.
#[tokio::test]
async fn cut_off() {
    let world = World::with(|builder| builder.gateway(Extra::new().env("RUNLATCH_PUBLISH_TIMEOUT", "30s"))).await;
    let deploy = world.playbook("acme/deploy").await;
    world.stack.freeze("nats").await.expect("freezes");
    let cutting = async {
        becomes(&world, "message_deliveries_count", 1.0).await;
        world.stack.halt("nats").await.expect("halts");
        Instant::now()
    };
    let (answer, since) = tokio::join!(world.send(deploy.delivery("k")), cutting);
    answer.refused(503, "unavailable");
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    world.stack.start("nats").await.expect("starts");
    let retried = eventually("the queue is back", async || {
        let answer = world.send(deploy.delivery("k")).await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    retried.replayed();
    world.only_run().await;
    world.end().await;
}
