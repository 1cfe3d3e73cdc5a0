//! Redis does not answer (I5): gone, dying in a burst, frozen, slow, or something else in its place. Intake goes on, one
//! run per key, and no delivery waits for Redis once that is known.

use futures_util::future::join_all;
use harness::{Answer, Playbook, Success, World, eventually};
use local::{Builder, Extra};

/// With more patience than gateways have by default, for a machine that is busy with other tests, and less than a test's.
fn hasty(builder: Builder) -> Builder {
    builder.gateway(Extra::new().env("RUNLATCH_REDIS_TIMEOUT", "1s"))
}

/// Sends so many new deliveries at once, and returns what they were answered.
async fn burst(world: &World, playbook: &Playbook, name: &str, count: usize) -> Vec<Success> {
    let sends = (0..count).map(|index| world.send(playbook.delivery(&format!("{name}-{index:03}"))));
    join_all(sends).await.iter().map(Answer::created).collect()
}

/// With the breaker open, deliveries neither wait for Redis nor mark anything: counted, not timed.
async fn nobody_asks(world: &World, playbook: &Playbook, name: &str) {
    world.breaker_is("open").await;
    let (waits, unchecked) = (world.waits_for_redis().await, world.unchecked("open").await);
    let answers = burst(world, playbook, name, 50).await;
    assert!(answers.iter().all(|answer| answer.deferred));
    assert_eq!(world.waits_for_redis().await, waits, "a delivery has asked Redis");
    assert_eq!(world.unchecked("open").await, unchecked + 50.0);
}

/// Each change of the breaker is told once, and nothing is told per delivery or probe.
fn told_once(world: &World) {
    let log = world.stack.log("gateway-1");
    let open = |line: &&str| line.contains("redis: not asked any more");
    let told: Vec<_> = log.lines().filter(|line| line.contains("redis: ")).collect();
    assert!(told.iter().any(open), "{log}");
    assert!(told.windows(2).all(|pair| open(&pair[0]) != open(&pair[1])), "{log}");
}

/// Gone, and back with nothing in it: one run for each key, whatever is sent; a conflict ends as a dead letter.
#[tokio::test]
async fn gone() {
    let world = World::with(hasty).await;
    let deploy = world.playbook("acme/deploy").await;
    let known = world.send(deploy.delivery("known")).await.created();
    world.marked(known.run).await;
    world.settled().await;

    world.stack.halt("redis").await.expect("halts");
    nobody_asks(&world, &deploy, "new").await;
    let (status, text) = world.ops("gateway-1", "/readyz").await;
    assert!(status == 200 && text.contains("degraded: redis: "), "{text}");

    let created = world.send(deploy.delivery("k")).await.created();
    let again = world.send(deploy.delivery("k")).await.created();
    let other = world.send(deploy.delivery("k").body("{}")).await.created();
    assert!(created.deferred && again.deferred && other.deferred);
    assert!(created.run == again.run && again.run == other.run);
    let known_again = world.send(deploy.delivery("known")).await.created();
    assert_eq!((known_again.run, known_again.deferred), (known.run, true));
    let known_otherwise = world.send(deploy.delivery("known").body("{}")).await.created();
    assert_eq!((known_otherwise.run, known_otherwise.deferred), (known.run, true));
    // Were it known, its target gone since, a 422 would tell its sender to give up.
    world.send(deploy.delivery("known").query("project=gone")).await.refused(503, "unavailable");

    world.stack.start("redis").await.expect("starts");
    world.keys_are_checked(&deploy).await;
    // It has forgotten all: the retry is a new one for it, and no second run.
    let late = world.send(deploy.delivery("known")).await.created();
    assert_eq!((late.run, late.deferred), (known.run, false));
    world.send(deploy.delivery("unknown").query("project=gone")).await.refused(422, "project_not_found");
    assert_eq!(world.send(deploy.delivery("known")).await.replayed(), late);

    world.settled().await;
    let runs = world.runs().await;
    assert_eq!(runs.len(), 1 + 50 + 1 + 1);
    let run = runs.iter().find(|run| run.id == created.run).expect("a run");
    // Which of them comes first is for the workers' lanes to say; the others are duplicates, or one dead letter.
    assert!([created.timestamp, again.timestamp, other.timestamp].contains(&run.accepted_at));
    let run = runs.iter().find(|run| run.id == known.run).expect("a run");
    assert_eq!(run.accepted_at, known.timestamp);
    assert_eq!(conflicts(&world).await, 2);
    told_once(&world);
    world.end().await;
}

async fn conflicts(world: &World) -> i64 {
    let query = "SELECT count(*) FROM dead_letters WHERE reason = 'idempotency_conflict'";
    world.database.query_one(query, &[]).await.expect("a count").get(0)
}

/// It dies in the middle of a burst, and is started again as a cluster would: every delivery is accepted, and a retry
/// of each names the same run.
#[tokio::test]
async fn dies_in_a_burst() {
    let world = World::with(|builder| hasty(builder.gateways(2))).await;
    let deploy = world.playbook("acme/deploy").await;
    let keys: Vec<_> = (0..400).map(|index| format!("k{index:03}")).collect();
    let send = async |gateway| join_all(keys.iter().map(|key| world.send(deploy.delivery(key).gateway(gateway)))).await;
    let (first, killed, second) = tokio::join!(send(0), world.stack.kill("redis"), send(1));
    killed.expect("was running");
    world.keys_are_checked(&deploy).await;
    let third = send(0).await;

    world.settled().await;
    let runs: Vec<_> = world.runs().await.into_iter().filter(|run| run.key.starts_with('k')).collect();
    assert_eq!(runs.len(), keys.len());
    for (index, run) in runs.iter().enumerate() {
        for answer in [&first[index], &second[index], &third[index]] {
            assert_eq!(accepted(answer).run, run.id);
        }
    }
    assert_eq!(world.count("dead_letters").await, 0);
    world.end().await;
}

/// 200 or 202: of two that come at once either may be first, and Redis may not know which.
#[track_caller]
fn accepted(answer: &Answer) -> Success {
    if answer.status == 200 { answer.replayed() } else { answer.created() }
}

/// It keeps its connections and answers nothing: three callers in a row wait, and nobody after them. What they had sent
/// takes effect late, and does no harm.
#[tokio::test]
async fn frozen() {
    let world = World::with(hasty).await;
    let deploy = world.playbook("acme/deploy").await;
    let known = world.send(deploy.delivery("known")).await.created();
    world.marked(known.run).await;
    let waits = world.waits_for_redis().await;

    world.stack.freeze("redis").await.expect("freezes");
    let mut waited = vec![];
    for index in 0..6 {
        waited.push(world.send(deploy.delivery(&format!("waits-{index}"))).await.created());
    }
    assert!(waited.iter().all(|answer| answer.deferred));
    let sent = world.waits_for_redis().await - waits;
    // The probe's answers are late too, and count as well.
    assert!((1.0..=3.0).contains(&sent), "{sent}");
    assert_eq!(world.unchecked("no_answer").await, sent);
    nobody_asks(&world, &deploy, "new").await;
    let other = world.send(deploy.delivery("known").body("{}")).await.created();
    assert!(other.deferred && other.run == known.run);

    world.stack.thaw("redis").await.expect("thaws");
    world.keys_are_checked(&deploy).await;
    // Their claims have landed, though nobody knew: the retries are helped.
    for (index, first) in waited.iter().enumerate() {
        let retried = accepted(&world.send(deploy.delivery(&format!("waits-{index}"))).await);
        assert_eq!((retried.run, retried.deferred), (first.run, false));
        world.send(deploy.delivery(&format!("waits-{index}")).body("{}")).await.conflicts_with(first.run);
    }
    assert_eq!(world.send(deploy.delivery("known")).await.replayed(), known);
    world.send(deploy.delivery("known").body("{}")).await.conflicts_with(known.run);
    world.settled().await;
    assert_eq!(world.count("runs").await, 1 + 6 + 50 + 1);
    assert_eq!(conflicts(&world).await, 1);
    told_once(&world);
    world.end().await;
}

/// Slow, but not slower than allowed: everything is checked. Or too late now and then, but never in a row, however many
/// wait for it at the time: who waited is not checked, and the others are. The breaker stays closed.
#[tokio::test]
async fn slow() {
    let patient = Extra::new().env("RUNLATCH_REDIS_TIMEOUT", "2s");
    let world = World::with(|builder| builder.gateway(patient).redis(["--enable-debug-command", "local"])).await;
    let deploy = world.playbook("acme/deploy").await;
    let stalling = async {
        for _ in 0..20 {
            world.redis::<()>(redis::cmd("DEBUG").arg("SLEEP").arg("0.1")).await;
        }
    };
    let sending = async {
        for round in 0..3 {
            let answers = burst(&world, &deploy, &format!("slow-{round}"), 50).await;
            assert!(answers.iter().all(|answer| !answer.deferred));
        }
    };
    tokio::join!(stalling, sending);

    for index in 0..3 {
        world.redis::<()>(redis::cmd("CLIENT").arg("PAUSE").arg(3000).arg("ALL")).await;
        let answers = burst(&world, &deploy, &format!("late-{index}"), 20).await;
        assert!(answers.iter().all(|answer| answer.deferred));
        world.keys_are_checked(&deploy).await;
    }
    assert_eq!((world.breaker_became("open").await, world.breaker_became("read_only").await), (0.0, 0.0));
    world.end().await;
}

/// At its address is something else.
#[tokio::test]
async fn another_server() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let nats = world.stack.nats_url().replace("nats://", "redis://");
    let name = world.stack.add_gateway(&Extra::new().env("REDIS_URL", nats)).await.expect("starts without Redis");
    eventually("the catalog is there", async || {
        let answer = world.send(deploy.probe().gateway(1)).await;
        (answer.status == 400).then_some(())
    })
    .await;
    let created = world.send(deploy.delivery("k").gateway(1)).await.created();
    assert!(created.deferred);
    let (status, text) = world.ops(&name, "/readyz").await;
    assert!(status == 200 && text.contains("degraded: redis: "), "{text}");
    assert_eq!(world.send(deploy.delivery("k")).await.created().run, created.run);
    world.only_run().await;
    world.end().await;
}
