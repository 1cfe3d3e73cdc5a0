//! Redis answers, but not as it should: it refuses writes, or reads too, or holds what is none of ours. And the other
//! choice, to be rather refused than accepted unchecked.

use std::collections::HashSet;

use harness::{World, eventually};
use local::Extra;
use proto::{Claim, RunId};

fn config(name: &str, value: &str) -> redis::Cmd {
    let mut command = redis::cmd("CONFIG");
    command.arg("SET").arg(name).arg(value);
    command
}

/// Of a server that nobody is at.
fn replica_of(host: &str, port: &str) -> redis::Cmd {
    let mut command = redis::cmd("REPLICAOF");
    command.arg(host).arg(port);
    command
}

/// What makes Redis refuse writes, with the code that it gives, and what makes it take them again.
fn refusals() -> [(&'static str, redis::Cmd, redis::Cmd); 3] {
    [
        // Under `noeviction`. It refuses even to SET what NX would have left alone.
        ("OOM", config("maxmemory", "1"), config("maxmemory", "0")),
        ("READONLY", replica_of("127.0.0.1", "1"), replica_of("NO", "ONE")),
        ("NOREPLICAS", config("min-replicas-to-write", "1"), config("min-replicas-to-write", "0")),
    ]
}

/// Full, failing over, or without its replicas: what it knows still counts (I4), and what it does not is not asked twice.
#[tokio::test]
async fn writes() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let mut expected = HashSet::new();
    for (code, refuse, allow) in refusals() {
        let known = world.send(deploy.delivery(&format!("{code}-known"))).await.created();
        // As a gateway leaves it that dies.
        let claim = Claim { state: proto::claim::State::Claimed, ..world.marked(known.run).await };
        world.redis::<()>(&refuse).await;
        // The very delivery that finds it out is checked.
        world.send(deploy.delivery(&format!("{code}-known")).body("{}")).await.conflicts_with(known.run);
        world.breaker_is("read_only").await;
        let (status, text) = world.ops("gateway-1", "/readyz").await;
        assert!(status == 200 && text.contains(&format!("degraded: redis: refuses writes ({code})")), "{text}");

        let (waits, unchecked) = (world.waits_for_redis().await, world.unchecked("read_only").await);
        assert_eq!(world.send(deploy.delivery(&format!("{code}-known"))).await.replayed(), known);
        world.send(deploy.delivery(&format!("{code}-known")).body("{}")).await.conflicts_with(known.run);
        for index in 0..10 {
            let new = world.send(deploy.delivery(&format!("{code}-{index}"))).await.created();
            assert!(new.deferred);
            expected.insert(new.run);
        }
        // One look each, and not a write.
        assert_eq!(world.waits_for_redis().await, waits + 12.0);
        assert_eq!(world.unchecked("read_only").await, unchecked + 10.0);

        world.redis::<()>(&allow).await;
        world.keys_are_checked(&deploy).await;
        world.set_claim(RunId(known.run), &claim.encode()).await;
        world.redis::<()>(&refuse).await;
        world.breaker_is("read_only").await;
        // Known, but not known to be published: helped, with its own time. It cannot be marked, which nobody waits for.
        let lost = world.metric("gateway-1", "runlatch_gateway_marks_lost_total").await.expect("a number");
        assert_eq!(world.send(deploy.delivery(&format!("{code}-known"))).await.replayed(), known);
        eventually("the mark is lost", async || {
            let now = world.metric("gateway-1", "runlatch_gateway_marks_lost_total").await?;
            (now == lost + 1.0).then_some(())
        })
        .await;
        world.redis::<()>(&allow).await;
        world.keys_are_checked(&deploy).await;
        expected.insert(known.run);
    }
    world.settled().await;
    let runs = world.runs().await;
    let found: HashSet<_> = runs.iter().filter(|run| !run.key.starts_with("checked-")).map(|run| run.id).collect();
    assert_eq!(found, expected);
    assert_eq!(world.count("dead_letters").await, 0);
    world.end().await;
}

/// Reads too, as a replica that has lost its primary may: it is not asked any more. Or one key holds what is no claim:
/// that is no reason to ask nothing else.
#[tokio::test]
async fn reads() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let known = world.send(deploy.delivery("known")).await.created();
    world.marked(known.run).await;
    world.redis::<()>(&config("replica-serve-stale-data", "no")).await;
    world.redis::<()>(&replica_of("127.0.0.1", "1")).await;
    world.breaker_is("open").await;
    let waits = world.waits_for_redis().await;
    assert!(world.send(deploy.delivery("known")).await.created().deferred);
    assert_eq!(world.waits_for_redis().await, waits);
    world.redis::<()>(&replica_of("NO", "ONE")).await;
    world.keys_are_checked(&deploy).await;
    assert_eq!(world.send(deploy.delivery("known")).await.replayed(), known);

    let changes = async || (world.breaker_became("open").await, world.breaker_became("read_only").await);
    let before = changes().await;
    let key = Claim::redis_key(RunId(known.run));
    world.redis::<()>(redis::cmd("DEL").arg(&key)).await;
    world.redis::<()>(redis::cmd("LPUSH").arg(&key).arg("a list")).await;
    assert!(world.send(deploy.delivery("known")).await.created().deferred);
    assert_eq!(world.unchecked("unreadable").await, 1.0);
    world.keys_are_checked(&deploy).await;
    assert_eq!(world.redis::<String>(redis::cmd("TYPE").arg(&key)).await, "list");
    assert_eq!(changes().await, before);
    world.settled().await;
    assert_eq!(world.count("dead_letters").await, 0);
    world.end().await;
}

/// Where it was chosen so, what cannot be checked is answered 503 and leaves no trace; what Redis knows is answered.
#[tokio::test]
async fn rejected() {
    let reject = Extra::new().env("RUNLATCH_ON_REDIS_OUTAGE", "reject");
    let world = World::with(|builder| builder.gateway(reject)).await;
    let deploy = world.playbook("acme/deploy").await;
    let known = world.send(deploy.delivery("known")).await.created();
    world.marked(known.run).await;
    let messages = world.messages_ever().await;

    let (_, refuse, allow) = &refusals()[0];
    world.redis::<()>(refuse).await;
    world.breaker_is("read_only").await;
    assert_eq!(world.send(deploy.delivery("known")).await.replayed(), known);
    world.send(deploy.delivery("known").body("{}")).await.conflicts_with(known.run);
    world.send(deploy.delivery("new")).await.refused(503, "unavailable");
    let (status, text) = world.ops("gateway-1", "/readyz").await;
    assert!(status == 503 && text.contains("redis: refuses writes (OOM)"), "{text}");
    world.redis::<()>(allow).await;
    world.keys_are_checked(&deploy).await;
    assert!(!world.claimed("new").await);

    world.stack.stop("redis").await.expect("stops");
    world.breaker_is("open").await;
    let waits = world.waits_for_redis().await;
    for key in ["known", "new", "newer"] {
        world.send(deploy.delivery(key)).await.refused(503, "unavailable");
    }
    // A 422 would tell the retry of a delivery that is known, whose target has gone, to give up.
    world.send(deploy.delivery("known").query("project=gone")).await.refused(503, "unavailable");
    assert_eq!(world.waits_for_redis().await, waits);
    assert_eq!(world.messages_ever().await, messages + 1);
    assert_eq!(world.total("gateway-1", "runlatch_gateway_checks_deferred_total").await, 0.0);

    world.stack.start("redis").await.expect("starts");
    world.keys_are_checked(&deploy).await;
    world.send(deploy.delivery("known").query("project=gone")).await.refused(422, "project_not_found");
    for key in ["new", "newer"] {
        assert!(!world.send(deploy.delivery(key)).await.created().deferred);
    }
    assert_eq!(world.send(deploy.delivery("known")).await.created().run, known.run);
    world.settled().await;
    assert_eq!(world.count("runs").await, 1 + 2 + 2);
    world.end().await;
}
