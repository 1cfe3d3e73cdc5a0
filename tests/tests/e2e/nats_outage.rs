//! The queue is away: not connected, gone with its disk, or hanging. Callers are told at once and before a key is
//! claimed; what is known keeps its answer for as long as that is true.

use std::fs;
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use futures_util::future::join_all;
use harness::{Playbook, World, eventually};
use local::Extra;
use proto::claim::State;
use proto::queue::STREAM;
use proto::{Claim, RunId};

/// What was in a worker's hands when the broker went is given out again as soon as can be set.
fn impatient() -> Extra {
    Extra::new().env("RUNLATCH_ACK_WAIT", "1s")
}

async fn broker(world: &World) -> Context {
    jetstream::new(async_nats::connect(world.stack.nats_url()).await.expect("connects"))
}

/// Waits until the gateway says of itself that it refuses, and why.
async fn refuses(world: &World, why: &str) {
    eventually(why, async || {
        let (status, text) = world.ops("gateway-1", "/readyz").await;
        (status == 503 && text.contains(why)).then_some(())
    })
    .await;
}

/// Refused at once: nothing is claimed, nothing waits for the broker. Counted, not timed.
async fn refused_at_once(world: &World, playbook: &Playbook, name: &str) {
    let steps = async || {
        let claims = world.metric("gateway-1", "runlatch_gateway_redis_commands_total{command=\"claim\"}").await;
        (claims, world.metric("gateway-1", "runlatch_gateway_message_deliveries_count").await)
    };
    let before = steps().await;
    let keys: Vec<_> = (0..20).map(|index| format!("{name}-{index}")).collect();
    for answer in join_all(keys.iter().map(|key| world.send(playbook.delivery(key)))).await {
        answer.refused(503, "unavailable");
        let seconds: u32 = answer.header("retry-after").expect("refused so").parse().expect("seconds");
        assert!((1..=3).contains(&seconds), "{seconds}");
    }
    assert_eq!(steps().await, before);
    for key in &keys {
        assert!(!world.claimed(key).await, "{key} is claimed");
    }
}

/// Stopped and started again: known deliveries keep their answers, conflicts are conflicts, nothing new is claimed, and
/// intake comes back by itself.
#[tokio::test]
async fn stopped() {
    let world = World::with(|builder| builder.worker(impatient())).await;
    let deploy = world.playbook("acme/deploy").await;
    let known = world.send(deploy.delivery("known")).await.created();
    let marked = world.marked(known.run).await;
    // Claimed by a gateway that died before it had published.
    let orphan = world.send(deploy.delivery("orphan")).await.created();
    let claim = Claim { state: State::Claimed, ..world.marked(orphan.run).await };
    world.set_claim(RunId(orphan.run), &claim.encode()).await;

    world.stack.stop("nats").await.expect("stops");
    refuses(&world, "nats: not connected").await;
    refused_at_once(&world, &deploy, "new").await;
    assert_eq!(world.send(deploy.delivery("known")).await.replayed(), known);
    world.send(deploy.delivery("known").body("{}")).await.conflicts_with(known.run);
    world.send(deploy.delivery("orphan")).await.refused(503, "unavailable");
    world.send(deploy.delivery("orphan").body("{}")).await.conflicts_with(orphan.run);

    world.stack.start("nats").await.expect("starts");
    world.stack.ready("gateway-1").await.expect("recovers");
    let messages = world.messages_ever().await;
    assert_eq!(world.send(deploy.delivery("orphan")).await.replayed(), orphan);
    assert_eq!(world.messages_ever().await, messages + 1);
    // It is the same stream, so the mark still counts.
    eventually("the stream has been seen again", async || {
        let before = world.messages_ever().await;
        assert_eq!(world.send(deploy.delivery("known")).await.replayed(), known);
        (world.messages_ever().await == before).then_some(())
    })
    .await;
    assert_eq!(world.marked(known.run).await.epoch, marked.epoch);
    for index in 0..20 {
        world.send(deploy.delivery(&format!("new-{index}"))).await.created();
    }
    world.settled().await;
    assert_eq!(world.count("runs").await, 2 + 20);
    world.end().await;
}

/// The broker comes back without its disk. No retry is answered from a mark of the stream that was lost.
#[tokio::test]
async fn lost_with_its_disk() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    world.stack.stop("worker-1").await.expect("stops");
    let lost = world.send(deploy.delivery("k")).await.created();
    world.marked(lost.run).await;
    world.stack.halt("nats").await.expect("halts");
    fs::remove_dir_all(world.stack.directory().join("nats")).expect("removes");
    world.stack.start("nats").await.expect("starts");
    // While the gateway is not connected this is a replay, and then never again until the run is certain.
    eventually("the gateway sees that there is no stream", async || {
        let answer = world.send(deploy.delivery("k")).await;
        (answer.status == 503).then_some(())
    })
    .await;
    for _ in 0..20 {
        world.send(deploy.delivery("k")).await.refused(503, "unavailable");
    }
    world.stack.start("worker-1").await.expect("starts");
    let healed = eventually("there is a stream again", async || {
        let answer = world.send(deploy.delivery("k")).await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    assert_eq!(healed.replayed(), lost);
    let run = world.only_run().await;
    assert_eq!((run.id, run.accepted_at), (lost.run, lost.timestamp));
    world.end().await;
}

/// Deleted, twice, while deliveries are sent without pause. What had been answered 2xx is made good by its retry.
#[tokio::test]
async fn deleted_while_sending() {
    let world = World::with(|builder| builder.gateways(2)).await;
    let deploy = world.playbook("acme/deploy").await;
    let keys: Vec<Vec<String>> =
        (0..4).map(|sender| (0..150).map(|index| format!("{sender}-{index:03}")).collect()).collect();
    let sent = std::cell::Cell::new(0);
    let send = async |keys: &[String], gateway: usize| {
        let mut answers = vec![];
        for key in keys {
            answers.push(
                eventually("it is accepted", async || {
                    let answer = world.send(deploy.delivery(key).gateway(gateway)).await;
                    (answer.status != 503).then_some(answer)
                })
                .await,
            );
            sent.set(sent.get() + 1);
        }
        answers
    };
    let deleting = async {
        let broker = broker(&world).await;
        for after in [100, 300] {
            eventually("some are sent", async || (sent.get() >= after).then_some(())).await;
            let before = broker.get_stream(STREAM).await.expect("a stream").cached_info().created;
            broker.delete_stream(STREAM).await.expect("deleted");
            eventually("a worker has made it anew", async || {
                let created = broker.get_stream(STREAM).await.ok()?.cached_info().created;
                (created != before).then_some(())
            })
            .await;
        }
    };
    let sending = join_all(keys.iter().enumerate().map(|(index, keys)| send(keys, index % 2)));
    let (first, ()) = tokio::join!(sending, deleting);

    let now = broker(&world).await.get_stream(STREAM).await.expect("a stream").cached_info().created;
    let now = proto::StreamEpoch::from_unix_nanos(now.unix_timestamp_nanos());
    for gateway in 0..2 {
        eventually("the gateway knows the stream", async || {
            let probe = uuid::Uuid::new_v4().to_string();
            let answer = world.send(deploy.delivery(&probe).gateway(gateway)).await;
            (answer.status == 202 && world.marked(answer.created().run).await.epoch == now).then_some(())
        })
        .await;
    }
    for (keys, first) in keys.iter().zip(&first) {
        let retried = send(keys, 0).await;
        for (first, retried) in first.iter().zip(&retried) {
            let first = if first.status == 202 { first.created() } else { first.replayed() };
            assert_eq!(retried.replayed(), first);
        }
    }
    world.settled().await;
    let found: Vec<_> = world.runs().await.into_iter().map(|run| run.key).filter(|key| key.len() == 5).collect();
    assert_eq!(found, keys.concat());
    assert_eq!(world.count("dead_letters").await, 0);
    world.end().await;
}

/// It keeps its connection and says nothing: who was first waits for one time-out, and nobody after them.
#[tokio::test]
async fn hanging() {
    let hasty = Extra::new().env("RUNLATCH_PUBLISH_TIMEOUT", "1s");
    let world = World::with(|builder| builder.gateway(hasty).worker(impatient())).await;
    let deploy = world.playbook("acme/deploy").await;
    let known = world.send(deploy.delivery("known")).await.created();
    world.marked(known.run).await;

    world.stack.freeze("nats").await.expect("freezes");
    let first: Vec<_> = (0..30).map(|index| format!("first-{index:02}")).collect();
    for answer in join_all(first.iter().map(|key| world.send(deploy.delivery(key)))).await {
        answer.refused(503, "unavailable");
    }
    refuses(&world, "nats: no answer").await;
    refused_at_once(&world, &deploy, "later").await;
    assert_eq!(world.send(deploy.delivery("known")).await.replayed(), known);
    world.send(deploy.delivery("known").body("{}")).await.conflicts_with(known.run);

    world.stack.thaw("nats").await.expect("thaws");
    world.stack.ready("gateway-1").await.expect("recovers");
    // Their claims were made, and some of them were in the broker's hands: one run each even so.
    for key in &first {
        let answer = world.send(deploy.delivery(key)).await;
        assert!(matches!(answer.status, 200 | 202), "{answer:?}");
        world.send(deploy.delivery(key).body("{}")).await.refused(409, "idempotency_conflict");
    }
    world.settled().await;
    let found: Vec<_> = world.runs().await.into_iter().map(|run| run.key).collect();
    assert_eq!(found, [first, vec!["known".to_owned()]].concat());
    world.end().await;
}

/// The same, one message at a time and with senders that never stop: those who wait for a turn when it is found out are
/// refused too, and that is not taken for an answer of the broker.
#[tokio::test]
async fn hanging_under_load() {
    let narrow = Extra::new().env("RUNLATCH_PUBLISH_TIMEOUT", "1s").env("RUNLATCH_PUBLISH_MESSAGES", "1");
    let world = World::with(|builder| builder.gateway(narrow).worker(impatient())).await;
    let deploy = world.playbook("acme/deploy").await;
    let keys: Vec<_> = (0..50).map(|index| format!("k-{index:02}")).collect();

    world.stack.freeze("nats").await.expect("freezes");
    let sending = join_all(keys.iter().zip(0..).map(async |(key, index)| {
        // One after another, so that at any moment some have not waited for a turn for long.
        tokio::time::sleep(index * Duration::from_millis(100)).await;
        loop {
            let answer = world.send(deploy.delivery(key)).await;
            if answer.status != 503 {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }));
    let watching = async {
        refuses(&world, "nats: no answer").await;
        // Until its pings are unanswered, seconds later.
        eventually("the connection is given up", async || {
            let (status, text) = world.ops("gateway-1", "/readyz").await;
            assert_eq!(status, 503, "ready, although the broker hangs: {text}");
            text.contains("nats: not connected").then_some(())
        })
        .await;
        world.stack.thaw("nats").await.expect("thaws");
    };
    let (answers, ()) = tokio::join!(sending, watching);
    for answer in answers {
        assert!(matches!(answer.status, 200 | 202), "{answer:?}");
    }
    world.settled().await;
    let found: Vec<_> = world.runs().await.into_iter().map(|run| run.key).collect();
    assert_eq!(found, keys);
    world.end().await;
}
