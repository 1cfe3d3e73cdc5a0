//! The request was obeyed, and nobody was told: the one fault that a server which is killed shows by luck only.

use std::time::{Duration, Instant};

use harness::{Playbook, World, eventually};
use local::{Extra, Role, Server, Toward};
use proto::claim::State;
use proto::{Claim, RunId, Scope};

use super::{all_well, impatient};

/// Four of them on one stack; nothing but the wire fails.
#[tokio::test]
async fn are_made_good() {
    // Who waits is to be told by the connection's end, and by nothing else.
    let patient = Extra::new().env("RUNLATCH_PUBLISH_TIMEOUT", "60s").env("RUNLATCH_REDIS_TIMEOUT", "250ms");
    let world = World::with(|builder| impatient(builder).gateway(patient)).await;
    let deploy = world.playbook("acme/deploy").await;

    puback(&world, &deploy).await;
    claim(&world, &deploy).await;
    commit(&world, &deploy).await;
    ack(&world, &deploy).await;

    all_well(&world, &deploy).await;
    world.settled().await;
    assert_eq!(world.count("dead_letters").await, 0);
    world.end().await;
}

/// The stream has the message, the gateway does not know: 503 at once, the key stays bound, and the retry helps.
async fn puback(world: &World, deploy: &Playbook) {
    let before = world.messages_ever().await;
    // Only an acknowledgement says this; the cut falls within it.
    world.stack.wire_of(Role::Gateway, Server::Nats).cut_within("\"seq\":", Toward::Client);
    let began = Instant::now();
    world.send(deploy.delivery("puback")).await.refused(503, "unavailable");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(world.messages_ever().await, before + 1, "it has arrived");
    assert!(world.claimed("puback").await);
    world.send(deploy.delivery("puback").body("{}")).await.conflicts_with(run_id(world, "puback").await.0);

    let helped = retried(world, deploy, "puback").await.replayed();
    world.settled().await;
    assert_eq!(world.messages_ever().await, before + 2, "the retry was published");
    assert_eq!(row(world, "puback").await, (helped.run, helped.timestamp));
    assert_eq!(outcome(world, "duplicate").await, 1.0);
}

/// Redis has the claim, the gateway does not know: it is accepted all the same, and its retry is known.
async fn claim(world: &World, deploy: &Playbook) {
    let run = run_id(world, "claim").await;
    world.stack.wire_of(Role::Gateway, Server::Redis).lose_answer(Claim::redis_key(run));
    let first = world.send(deploy.delivery("claim")).await.created();
    assert!(first.deferred && first.run == run.0);
    let held: Vec<u8> = world.redis(redis::cmd("GET").arg(&Claim::redis_key(run)[..])).await;
    assert_eq!(Claim::decode(&held).expect("a claim").state, State::Claimed, "it has arrived, and nobody marks it");

    // Before a retry could be deferred too, and have a time of its own.
    world.settled().await;
    let helped = eventually("redis is asked again", async || {
        let answer = world.send(deploy.delivery("claim")).await;
        (answer.status == 200).then(|| answer.replayed())
    })
    .await;
    assert_eq!((helped.run, &helped.timestamp), (first.run, &first.timestamp));
    world.send(deploy.delivery("claim").body("{}")).await.conflicts_with(first.run);
    world.settled().await;
    assert_eq!(row(world, "claim").await, (first.run, first.timestamp));
}

/// The rows are there, the worker does not know: it tries again and finds them.
async fn commit(world: &World, deploy: &Playbook) {
    let (failures, duplicates, created) =
        (failures(world).await, outcome(world, "duplicate").await, outcome(world, "created").await);
    // What Postgres says once a transaction is committed, and not before.
    world.stack.wire_of(Role::Worker, Server::Postgres).cut_within("COMMIT\0", Toward::Client);
    let sent = world.send(deploy.delivery("commit")).await.created();
    world.settled().await;
    assert_eq!(row(world, "commit").await, (sent.run, sent.timestamp));
    assert_eq!(self::failures(world).await, failures + 1.0);
    assert_eq!(outcome(world, "duplicate").await, duplicates + 1.0);
    assert_eq!(outcome(world, "created").await, created, "by the attempt that nobody heard of");
}

/// The outcome is committed, the broker does not know: it gives the message out once more, and all in it are duplicates.
async fn ack(world: &World, deploy: &Playbook) {
    let redeliveries = world.metric("worker-1", "runlatch_worker_redeliveries_total").await.expect("a count");
    let duplicates = outcome(world, "duplicate").await;
    let wire = world.stack.wire_of(Role::Worker, Server::Nats);
    let cut = wire.counts().cut;
    wire.cut_within("$JS.ACK.", Toward::Server);
    let sent = world.send(deploy.delivery("ack")).await.created();
    world.settled().await;
    assert_eq!(wire.counts().cut, cut + 1);
    assert_eq!(row(world, "ack").await, (sent.run, sent.timestamp));
    let again = world.metric("worker-1", "runlatch_worker_redeliveries_total").await.expect("a count");
    assert!(again > redeliveries);
    assert!(outcome(world, "duplicate").await > duplicates);
}

async fn retried(world: &World, deploy: &Playbook, key: &str) -> harness::Answer {
    eventually("the queue is back", async || {
        let answer = world.send(deploy.delivery(key)).await;
        (answer.status != 503).then_some(answer)
    })
    .await
}

async fn run_id(world: &World, key: &str) -> RunId {
    let scope = Scope::Playbook(world.playbook_id("deploy").await);
    RunId::compute(scope, &key.parse().expect("a key"))
}

/// The one row of a key: its id and its time.
async fn row(world: &World, key: &str) -> (uuid::Uuid, String) {
    let mut runs = world.runs().await;
    runs.retain(|run| run.key == key);
    assert_eq!(runs.len(), 1, "{runs:#?}");
    (runs[0].id, runs[0].accepted_at.clone())
}

async fn outcome(world: &World, outcome: &str) -> f64 {
    let name = format!("runlatch_worker_deliveries_total{{outcome=\"{outcome}\"}}");
    world.metric("worker-1", &name).await.unwrap_or_default()
}

async fn failures(world: &World) -> f64 {
    world.metric("worker-1", "runlatch_worker_commit_failures_total").await.unwrap_or_default()
}
