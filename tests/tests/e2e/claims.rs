//! The claim table, and the scope of a key: what Redis remembers, and what it does not matter that it forgets.

use futures_util::future::join_all;
use harness::{World, eventually};
use proto::claim::State;
use proto::{Claim, Fingerprint, Payload, PlaybookId, RunId, Selector, StreamEpoch, Timestamp};
use uuid::Uuid;

/// I2, and half of I1: one 202, one run id, one timestamp, one row.
#[tokio::test]
async fn five_hundred_at_once() {
    let world = World::with(|builder| builder.gateways(2)).await;
    let deploy = world.playbook("acme/deploy").await;
    let answers = join_all((0..500).map(|index| world.send(deploy.delivery("k").gateway(index % 2)))).await;

    let created: Vec<_> = answers.iter().filter(|answer| answer.status == 202).collect();
    assert_eq!(created.len(), 1);
    let original = created[0].created();
    for answer in answers.iter().filter(|answer| answer.status != 202) {
        assert_eq!(answer.replayed(), original);
    }
    let run = world.only_run().await;
    assert_eq!((run.id, run.accepted_at), (original.run, original.timestamp));
    world.end().await;
}

/// I4: the losers learn which run won.
#[tokio::test]
async fn five_hundred_at_once_of_two_minds() {
    let world = World::with(|builder| builder.gateways(2)).await;
    let deploy = world.playbook("acme/deploy").await;
    let body = |index: usize| format!(r#"{{"mind":{}}}"#, index / 2 % 2);
    let sends = (0..500).map(|index| world.send(deploy.delivery("k").gateway(index % 2).body(body(index))));
    let answers = join_all(sends).await;

    let winner = answers.iter().position(|answer| answer.status == 202).expect("a winner");
    let original = answers[winner].created();
    for (index, answer) in answers.iter().enumerate().filter(|(index, _)| *index != winner) {
        if body(index) == body(winner) {
            assert_eq!(answer.replayed(), original);
        } else {
            answer.conflicts_with(original.run);
        }
    }
    let run = world.only_run().await;
    assert_eq!((run.id, run.payload), (original.run, body(winner)));
    assert_eq!(world.count("dead_letters").await, 0);
    world.end().await;
}

/// A key belongs to its playbook, or, where the organization was made so, to the organization.
#[tokio::test]
async fn scope() {
    let world = World::start().await;
    let (deploy, notify) = (world.playbook("acme/deploy").await, world.playbook("acme/notify").await);
    let (one, two) = (world.playbook("globex/one").await, world.playbook("globex/two").await);

    let first = world.send(deploy.delivery("k")).await.created();
    let second = world.send(notify.delivery("k")).await.created();
    assert_ne!(first.run, second.run);

    let third = world.send(one.delivery("k")).await.created();
    world.send(two.delivery("k")).await.conflicts_with(third.run);
    assert_eq!(world.send(one.delivery("k")).await.replayed(), third);
    world.settled().await;
    assert_eq!(world.count("runs").await, 3);
    world.end().await;
}

/// What is in Redis of this delivery to acme/deploy, and under which run.
fn claimed(playbook: PlaybookId, key: &str, target: &Selector, state: State, epoch: StreamEpoch) -> (RunId, Claim) {
    let run = RunId::compute(proto::Scope::Playbook(playbook), &key.parse().expect("a key"));
    let body = harness::payload(key);
    let payload = Payload::parse(body.as_bytes()).expect("a payload");
    let fingerprint = Fingerprint::compute(playbook, target, &payload).short();
    let accepted_at = Timestamp::from_millis(1_700_000_000_123).expect("fits");
    (run, Claim { state, fingerprint, accepted_at, playbook, epoch, queued: None })
}

/// When that was accepted.
const THEN: &str = "2023-11-14T22:13:20.123Z";

/// An owner that died between claim and publish: the retry publishes. And what a claim looks like on the way.
#[tokio::test]
async fn a_retry_helps() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let playbook = world.playbook_id("deploy").await;

    // Claimed and never published; published to a stream that is no more; published before any stream was known.
    for (index, (state, epoch)) in
        [(State::Claimed, StreamEpoch(1)), (State::Published, StreamEpoch(1)), (State::Published, StreamEpoch::UNKNOWN)]
            .into_iter()
            .enumerate()
    {
        let key = format!("k{index}");
        let (run, claim) = claimed(playbook, &key, &Selector::default(), state, epoch);
        world.set_claim(run, &claim.encode()).await;

        let helped = world.send(deploy.delivery(&key)).await.replayed();
        assert_eq!((helped.run, helped.timestamp.as_str()), (run.0, THEN));
        // Now marked, with the epoch of the stream that exists: the next retry leaves the queue alone.
        let marked = eventually("the mark names the stream", async || {
            let claim = world.marked(run.0).await;
            (claim.epoch.0 > 1).then_some(claim)
        })
        .await;
        // A mark is the whole claim of who has published, which an older gateway may have written with less in it.
        let queued = marked.queued.clone().expect("what is queued");
        assert_eq!(queued.key.as_str(), key);
        assert_eq!(marked, Claim { state: State::Published, epoch: marked.epoch, queued: Some(queued), ..claim });
        let messages = world.messages_ever().await;
        assert_eq!(world.send(deploy.delivery(&key)).await.replayed(), helped);
        assert_eq!(world.messages_ever().await, messages);
    }
    world.settled().await;
    let runs = world.runs().await;
    assert_eq!(runs.len(), 3);
    assert!(runs.iter().all(|run| run.accepted_at == THEN));
    world.end().await;
}

/// A retry whose target has gone is a replay where a mark says so. Where none does there is nothing to publish, and yet it
/// may have been accepted: it is not refused for good.
#[tokio::test]
async fn a_retry_without_a_target() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let playbook = world.playbook_id("deploy").await;
    let epoch = world.marked(world.send(deploy.delivery("k")).await.created().run).await.epoch;
    let gone = Selector { project: Some("gone".parse().expect("a slug")), template: None };
    let retry = || deploy.delivery("retry").query("project=gone");
    for (state, epoch) in
        [(State::Claimed, epoch), (State::Published, StreamEpoch(1)), (State::Published, StreamEpoch::UNKNOWN)]
    {
        let (run, claim) = claimed(playbook, "retry", &gone, state, epoch);
        world.set_claim(run, &claim.encode()).await;
        world.send(retry()).await.refused(503, "unavailable");
        world.send(retry().body("{}")).await.conflicts_with(run.0);
    }
    let (run, claim) = claimed(playbook, "retry", &gone, State::Published, epoch);
    world.set_claim(run, &claim.encode()).await;
    let replayed = world.send(retry()).await.replayed();
    assert_eq!((replayed.run, replayed.timestamp.as_str()), (run.0, THEN));
    world.forget().await;
    world.send(retry()).await.refused(422, "project_not_found");
    world.settled().await;
    world.only_run().await;
    world.end().await;
}

/// I5: Redis forgets everything, and no second run comes of it; or it holds what this gateway cannot read.
#[tokio::test]
async fn redis_decides_nothing_alone() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let created = world.send(deploy.delivery("k")).await.created();
    world.settled().await;

    world.forget().await;
    let again = world.send(deploy.delivery("k")).await.created();
    assert_eq!(again.run, created.run);
    assert!(!again.deferred);
    world.settled().await;
    world.set_claim(RunId(created.run), b"\x02 of a later version").await;
    let deferred = world.send(deploy.delivery("k")).await.created();
    assert!(deferred.deferred, "a claim that cannot be read was judged");
    // Nor is it overwritten. Marks are written in order: after the next one, this one would have been.
    let next = world.send(deploy.delivery("next")).await.created();
    world.marked(next.run).await;
    let claim: Vec<u8> = world.redis(redis::cmd("GET").arg(&Claim::redis_key(RunId(created.run))[..])).await;
    assert_eq!(claim, b"\x02 of a later version");
    world.settled().await;

    // The key is bound to another payload while Redis has no say: a dead letter says so.
    world.forget().await;
    world.send(deploy.delivery("k").body("{}")).await.created();
    world.settled().await;
    let runs = world.runs().await;
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0].accepted_at, created.timestamp);
    let reason: String =
        world.database.query_one("SELECT reason FROM dead_letters", &[]).await.expect("one dead letter").get(0);
    assert_eq!(reason, "idempotency_conflict");
    world.end().await;
}

/// The claim's life is the window.
#[tokio::test]
async fn a_claim_lives_as_long_as_its_window() {
    let extra = local::Extra::new().env("RUNLATCH_CLAIM_WINDOW", "100s");
    let world = World::with(|builder| builder.gateway(extra)).await;
    let deploy = world.playbook("acme/deploy").await;
    let created = world.send(deploy.delivery("k")).await.created();
    let claim = world.marked(created.run).await;
    assert_eq!(claim.playbook, PlaybookId(world.playbook_id("deploy").await.0));
    // Marking has kept it.
    let life: i64 = world.redis(redis::cmd("TTL").arg(&Claim::redis_key(RunId(created.run))[..])).await;
    assert!((90..=100).contains(&life), "{life}");
    assert_ne!(Uuid::nil(), created.run);
    world.end().await;
}

/// A stalled Redis must not let a conflicting reuse take the key from who holds it (I4).
#[tokio::test]
async fn a_stalled_redis_changes_no_owner() {
    let hasty = local::Extra::new().env("RUNLATCH_REDIS_TIMEOUT", "1s");
    let world = World::with(|builder| builder.gateway(hasty)).await;
    let deploy = world.playbook("acme/deploy").await;
    let created = world.send(deploy.delivery("k")).await.created();
    world.marked(created.run).await;

    world.redis::<()>(redis::cmd("CLIENT").arg("PAUSE").arg(4000).arg("ALL")).await;
    let other = world.send(deploy.delivery("k").body("{}")).await.created();
    assert!(other.deferred);
    let next = eventually("redis answers again", async || {
        let answer = world.send(deploy.delivery(&uuid::Uuid::new_v4().to_string())).await.created();
        (!answer.deferred).then_some(answer)
    })
    .await;
    // Marks are written in order: whatever mark there is of the one before would be written by now.
    world.marked(next.run).await;
    assert_eq!(world.send(deploy.delivery("k")).await.replayed(), created);
    world.send(deploy.delivery("k").body("{}")).await.conflicts_with(created.run);
    world.end().await;
}
