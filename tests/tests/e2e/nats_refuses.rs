//! The queue is there, but full, or given other settings, or its acknowledgements do not come.

use std::time::{Duration, Instant};

use async_nats::jetstream::{self, stream::Config};
use futures_util::future::{join, join_all};
use harness::{World, eventually, payload};
use local::Extra;
use proto::{StreamEpoch, queue::STREAM};

/// Changes the stream under the running system, and returns what it was.
async fn reconfigure(world: &World, change: impl FnOnce(&mut Config)) -> Config {
    let context = jetstream::new(async_nats::connect(world.stack.nats_url()).await.expect("connects"));
    let before = context.get_stream(STREAM).await.expect("the stream").cached_info().config.clone();
    let mut config = before.clone();
    change(&mut config);
    context.update_stream(config).await.expect("updated");
    before
}

/// A full stream refuses, it never drops what it accepted; and workers, which would have made it larger, leave it as
/// the operator wants it.
#[tokio::test]
async fn full() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    world.stack.stop("worker-1").await.expect("stops");
    reconfigure(&world, |config| config.max_messages = 3).await;
    let mut accepted = vec![];
    for key in ["a", "b", "c"] {
        accepted.push(world.send(deploy.delivery(key)).await.created());
    }
    world.marked(accepted[2].run).await;
    world.send(deploy.delivery("d")).await.refused(503, "unavailable");
    let (status, text) = world.ops("gateway-1", "/readyz").await;
    assert!(status == 200 && text.contains("degraded: nats: publish was refused"), "{text}");
    assert_eq!(world.send(deploy.delivery("a")).await.replayed(), accepted[0]);
    world.send(deploy.delivery("a").body("{}")).await.conflicts_with(accepted[0].run);

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
    assert_eq!(reconfigure(&world, |_| {}).await.max_messages, 3);
    let (_, text) = world.ops("gateway-1", "/readyz").await;
    assert_eq!(text, "ready\n");
    world.end().await;
}

/// An operator's new settings leave the stream the one that it was: what is published meanwhile is known to be in it.
#[tokio::test]
async fn given_other_settings() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let context = jetstream::new(async_nats::connect(world.stack.nats_url()).await.expect("connects"));
    let created = context.get_stream(STREAM).await.expect("the stream").cached_info().created;
    let epoch = StreamEpoch::from_unix_nanos(created.unix_timestamp_nanos());
    for round in 0..20 {
        let changes = async {
            for change in 0..3 {
                reconfigure(&world, |config| config.description = Some(format!("change {change} of {round}"))).await;
            }
        };
        let sends = async {
            let mut accepted = vec![];
            for index in 0..20 {
                accepted.push(world.send(deploy.delivery(&format!("{round}-{index}"))).await.created().run);
            }
            accepted
        };
        for run in join(changes, sends).await.1 {
            assert_eq!(world.marked(run).await.epoch, epoch);
        }
    }
    world.settled().await;
    assert_eq!(world.count("runs").await, 400);
    world.end().await;
}

/// Messages arrive, their acknowledgements do not. The caller cannot know, and need not: the retry helps. And nobody
/// waits for more than twice the time-out, however many wait for a turn.
#[tokio::test]
async fn unacknowledged() {
    let slow = Extra::new().env("RUNLATCH_PUBLISH_TIMEOUT", "1s").env("RUNLATCH_PUBLISH_MESSAGES", "1");
    let world = World::with(|builder| builder.gateway(slow)).await;
    let deploy = world.playbook("acme/deploy").await;
    world.stack.stop("worker-1").await.expect("stops");
    reconfigure(&world, |config| config.no_ack = true).await;

    world.send(deploy.delivery("k")).await.refused(503, "unavailable");
    assert!(world.claimed("k").await);
    assert_eq!(world.messages_ever().await, 1);
    let (status, text) = world.ops("gateway-1", "/readyz").await;
    assert!(status == 200 && text.contains("degraded: nats: publish was not acknowledged in time"), "{text}");

    // So large that each needs a message of its own, and one goes at a time: the last would have its turn after 19 s.
    let large = |index: usize| format!(r#"{{"large":"{}","index":{index}}}"#, "x".repeat(300_000));
    let sends = (0..20).map(|index| world.send(deploy.delivery(&format!("large-{index:02}")).body(large(index))));
    let began = Instant::now();
    for answer in join_all(sends).await {
        answer.refused(503, "unavailable");
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let sent = world.messages_ever().await;
    assert!((2..=6).contains(&sent), "{sent}");

    reconfigure(&world, |config| config.no_ack = false).await;
    let helped = world.send(deploy.delivery("k")).await.replayed();
    assert_eq!(world.messages_ever().await, sent + 1);
    for index in 0..20 {
        world.send(deploy.delivery(&format!("large-{index:02}")).body(large(index))).await.replayed();
    }
    world.stack.start("worker-1").await.expect("starts");
    world.settled().await;
    let runs = world.runs().await;
    assert_eq!(runs.len(), 21);
    assert_eq!((&runs[0].id, &runs[0].payload), (&helped.run, &payload("k")));
    assert_eq!(world.count("dead_letters").await, 0);
    world.end().await;
}
