//! Where a delivery has got, as its sender can ask.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::raw::Raw;
use harness::{Answer, Playbook, World, eventually};
use local::{Extra, Role};
use proto::claim::State;
use proto::{Claim, RunId, StreamEpoch};
use serde_json::{Value, json};
use uuid::Uuid;

/// Asks by the run's id and by its key, which are told the same.
async fn status(world: &World, playbook: &Playbook, run: Uuid, key: &str) -> Value {
    let by_id = world.send(playbook.run(run)).await.run_status();
    assert_eq!(world.send(playbook.run_of(key)).await.run_status(), by_id);
    by_id
}

/// Waits until that is the status.
async fn becomes(world: &World, playbook: &Playbook, run: Uuid, wanted: &str) -> Value {
    eventually(&format!("the run is {wanted}"), async || {
        let status = world.send(playbook.run(run)).await.run_status();
        (status["status"] == wanted).then_some(status)
    })
    .await
}

/// Waits until the gateway is sure that nothing is queued of which it does not know.
async fn unknown(world: &World, question: impl Fn() -> harness::Delivery) -> Answer {
    eventually("it is known to be unknown", async || {
        let answer = world.send(question()).await;
        (answer.status != 503).then_some(answer)
    })
    .await
}

#[tokio::test]
async fn queued_then_created() {
    let world = World::start().await;
    let (deploy, notify) = (world.playbook("acme/deploy").await, world.playbook("acme/notify").await);
    // Before anything was ever sent.
    unknown(&world, || deploy.run_of("order-1")).await.refused(404, "not_found");
    world.stack.stop("worker-1").await.expect("stops");
    let sent = || deploy.delivery("order-1").query("project=side");
    let accepted = world.send(sent()).await;
    let location = accepted.header("location").expect("a location").to_owned();
    let accepted = accepted.created();

    // At once: its mark may still be on the way.
    let queued = world.send(deploy.run(accepted.run)).await.run_status();
    assert_eq!(status(&world, &deploy, accepted.run, "order-1").await, queued);
    let fingerprint = queued["fingerprint"].clone();
    let expected = json!({
        "runId": accepted.run, "status": "queued", "idempotencyKey": "order-1", "fingerprint": fingerprint,
        "project": "side", "template": "plain", "acceptedAt": accepted.timestamp,
    });
    assert_eq!(queued, expected);
    assert_eq!(world.metric("gateway-1", "runlatch_gateway_run_status_total{outcome=\"queued\"}").await, Some(3.0));

    world.stack.start("worker-1").await.expect("starts");
    let created = becomes(&world, &deploy, accepted.run, "created").await;
    assert_eq!(status(&world, &deploy, accepted.run, "order-1").await, created);
    let row = "SELECT encode(fingerprint, 'hex'), (extract(epoch FROM created_at) * 1000)::bigint FROM runs";
    let row = world.database.query_one(row, &[]).await.expect("the row");
    let mut expected = expected;
    expected["status"] = json!("created");
    let created_at = proto::Timestamp::from_millis(row.get::<_, i64>(1).try_into().expect("after 1970"));
    expected["createdAt"] = json!(created_at.expect("a time"));
    assert_eq!(created, expected);
    assert!(row.get::<_, &str>(0).starts_with(fingerprint.as_str().expect("text")));

    // Where an answer says it is, and only for who holds the secret, of this playbook.
    assert_eq!(world.send(deploy.run(accepted.run).path(&location)).await.run_status(), created);
    assert_eq!(world.send(sent()).await.header("location"), Some(location.as_str()));
    let head = world.send(deploy.run(accepted.run).method("HEAD")).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), Some(created.to_string().len().to_string().as_str()));
    world.send(deploy.run(accepted.run).secret("wrong")).await.refused(401, "invalid_secret");
    world.send(deploy.run(accepted.run).without("x-webhook-secret")).await.refused(401, "invalid_secret");
    world.send(notify.run(accepted.run)).await.refused(404, "not_found");
    unknown(&world, || notify.run_of("order-1")).await.refused(404, "not_found");
    unknown(&world, || deploy.run(Uuid::nil())).await.refused(404, "not_found");
    unknown(&world, || deploy.run_of("order-2")).await.refused(404, "not_found");
    // What is no question.
    world.send(deploy.run_of("").path(&format!("{}/runs", deploy.path))).await.refused(400, "missing_idempotency_key");
    world.send(deploy.run_of("a%20b")).await.refused(400, "invalid_idempotency_key");
    world.send(deploy.run_of("a&idempotencyKey=b")).await.refused(400, "invalid_idempotency_key");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        world.send(deploy.run(accepted.run).method(method)).await.refused(405, "method_not_allowed");
        world.send(deploy.run_of("order-1").method(method)).await.refused(405, "method_not_allowed");
    }
    world.send(deploy.run_of("").path(&format!("{}/runs/1", deploy.path))).await.refused(404, "not_found");
    world.end().await;
}

/// Of an organization in which a key names one run, whichever playbook it was sent to.
#[tokio::test]
async fn a_key_of_the_organization_is_told_of_where_it_was_sent() {
    let world = World::start().await;
    let (one, two) = (world.playbook("globex/one").await, world.playbook("globex/two").await);
    world.stack.stop("worker-1").await.expect("stops");
    let sent = world.send(one.delivery("k")).await.created();
    assert_eq!(status(&world, &one, sent.run, "k").await["status"], "queued");
    // Who has the key now need not be who had it before Redis forgot.
    world.send(two.run_of("k")).await.refused(503, "unavailable");
    world.stack.start("worker-1").await.expect("starts");
    becomes(&world, &one, sent.run, "created").await;
    unknown(&world, || two.run_of("k")).await.refused(404, "not_found");
    world.end().await;
}

#[tokio::test]
async fn rejected() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    world.stack.stop("worker-1").await.expect("stops");
    let sent = world.send(deploy.delivery("gone").query("project=side")).await.created();
    assert_eq!(status(&world, &deploy, sent.run, "gone").await["status"], "queued");
    let admin = world.login(Role::Superuser).await;
    admin.batch_execute("DELETE FROM projects WHERE slug = 'side'").await.expect("deleted");
    world.stack.start("worker-1").await.expect("starts");
    let rejected = becomes(&world, &deploy, sent.run, "rejected").await;
    assert_eq!(status(&world, &deploy, sent.run, "gone").await, rejected);
    let told = (&rejected["reason"], &rejected["project"], &rejected["idempotencyKey"], &rejected["acceptedAt"]);
    assert_eq!(told, (&json!("target_not_found"), &json!("side"), &json!("gone"), &json!(sent.timestamp)));

    // The key is free once Redis has forgotten it; whoever holds it then is told of the own delivery.
    world.forget().await;
    world.stack.stop("worker-1").await.expect("stops");
    world.send(deploy.delivery("gone").query("project=main")).await.created();
    let queued = status(&world, &deploy, sent.run, "gone").await;
    assert_eq!((&queued["status"], &queued["project"]), (&json!("queued"), &json!("main")));
    world.stack.start("worker-1").await.expect("starts");
    becomes(&world, &deploy, sent.run, "created").await;

    // What a playbook has done is told although it does nothing more.
    let disable = "UPDATE playbooks SET enabled = false WHERE slug = 'deploy'";
    world.database.batch_execute(disable).await.expect("disabled");
    eventually("it is disabled", async || (world.send(deploy.probe()).await.status == 404).then_some(())).await;
    assert_eq!(status(&world, &deploy, sent.run, "gone").await["status"], "created");
    world.send(deploy.run(sent.run).secret("wrong")).await.refused(404, "not_found");
    world.end().await;
}

/// A 404 would have a sender make another run of what is queued.
#[tokio::test]
async fn what_redis_does_not_know_is_not_unknown() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    world.stack.stop("worker-1").await.expect("stops");
    world.stack.halt("redis").await.expect("halts");
    world.breaker_is("open").await;
    let sent = world.send(deploy.delivery("k")).await.created();
    assert!(sent.deferred);
    world.send(deploy.run(sent.run)).await.refused(503, "unavailable");
    world.send(deploy.run_of("k")).await.refused(503, "unavailable");

    world.stack.start("redis").await.expect("starts");
    world.breaker_is("closed").await;
    // For longer than it takes where nothing is queued.
    let until = Instant::now() + Duration::from_secs(6);
    while Instant::now() < until {
        world.send(deploy.run(sent.run)).await.refused(503, "unavailable");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.stack.start("worker-1").await.expect("starts");
    let created = eventually("its row is there", async || {
        let answer = world.send(deploy.run(sent.run)).await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    assert_eq!(created.run_status()["status"], "created");
    unknown(&world, || deploy.run_of("other")).await.refused(404, "not_found");
    world.end().await;
}

/// Redis may lose what it knows without a word, and is not believed where it knows nothing.
#[tokio::test]
async fn what_redis_has_forgotten_is_not_unknown() {
    let quick = || Extra::new().env("RUNLATCH_STATUS_TIMEOUT", "2s");
    let world = World::with(|builder| builder.gateways(2).gateway(quick())).await;
    let deploy = world.playbook("acme/deploy").await;
    unknown(&world, || deploy.run_of("k")).await.refused(404, "not_found");
    world.stack.stop("worker-1").await.expect("stops");
    let sent = world.send(deploy.delivery("k")).await.created();
    world.marked(sent.run).await;
    world.forget().await;
    for gateway in [0, 1] {
        world.send(deploy.run(sent.run).gateway(gateway)).await.refused(503, "unavailable");
        world.send(deploy.run_of("other").gateway(gateway)).await.refused(503, "unavailable");
    }
    world.stack.start("worker-1").await.expect("starts");
    becomes_again(&world, &deploy, sent.run).await;
    unknown(&world, || deploy.run_of("other")).await.refused(404, "not_found");
    // What could not be read may be any delivery, until the operator has seen to it.
    let bury = "INSERT INTO dead_letters (identity, reason, detail, payload, stream_epoch, stream_sequence)
                VALUES ('x', 'malformed_message', '', '', 1, 1)";
    let admin = world.login(Role::Superuser).await;
    admin.batch_execute(bury).await.expect("buried");
    world.send(deploy.run_of("other")).await.refused(503, "unavailable");
    assert_eq!(status(&world, &deploy, sent.run, "k").await["status"], "created");
    world.end().await;
}

/// Of a claim alone nobody can tell whether a message follows, or followed.
#[tokio::test]
async fn a_claim_is_no_promise() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let known = world.send(deploy.delivery("k")).await.created();
    let published = world.marked(known.run).await;
    becomes(&world, &deploy, known.run, "created").await;
    let orphan = RunId(Uuid::new_v4());
    for claim in [
        Claim { state: State::Claimed, ..published.clone() },
        Claim { epoch: StreamEpoch(1), ..published.clone() },
        Claim { epoch: StreamEpoch::UNKNOWN, ..published.clone() },
    ] {
        world.set_claim(orphan, &claim.encode()).await;
        world.send(deploy.run(orphan.0)).await.refused(503, "unavailable");
    }
    // An older gateway's says less, and enough.
    world.set_claim(orphan, &Claim { queued: None, ..published.clone() }.encode()).await;
    let queued = world.send(deploy.run(orphan.0)).await.run_status();
    assert_eq!(
        (&queued["status"], &queued["idempotencyKey"], &queued["project"]),
        (&json!("queued"), &Value::Null, &Value::Null)
    );
    world.set_claim(orphan, b"nonsense").await;
    world.send(deploy.run(orphan.0)).await.refused(503, "unavailable");
    world.end().await;
}

/// Questions that Postgres does not answer end in time, are bounded here and there, and are nothing to deliveries.
#[tokio::test]
async fn postgres_does_not_answer() {
    let quick = Extra::new().env("RUNLATCH_STATUS_TIMEOUT", "1s").env("RUNLATCH_STATUS_CONNECTIONS", "2");
    let world = World::with(|builder| builder.gateway(quick)).await;
    let deploy = world.playbook("acme/deploy").await;
    let sent = world.send(deploy.delivery("k")).await.created();
    becomes(&world, &deploy, sent.run, "created").await;

    let (mut owner, admin) = (world.login(Role::Owner).await, world.login(Role::Superuser).await);
    let lock = owner.transaction().await.expect("begins");
    lock.batch_execute("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE").await.expect("locks");
    for _ in 0..3 {
        let asked = Instant::now();
        let answers = join_all((0..100).map(|_| world.send(deploy.run(sent.run)))).await;
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
        let count = |code: &str| answers.iter().filter(|answer| answer.text.contains(code)).count();
        answers.iter().for_each(|answer| assert_eq!(answer.status, 503, "{answer:?}"));
        assert!(
            count("unavailable") >= 1 && count("overloaded") >= 1,
            "{} {}",
            count("unavailable"),
            count("overloaded")
        );
        let accepted = Instant::now();
        world.send(deploy.delivery(&format!("k{accepted:?}").replace(' ', ""))).await.created();
        assert!(accepted.elapsed() < Duration::from_secs(5), "{:?}", accepted.elapsed());
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%FROM runs r%' AND pid <> pg_backend_pid()
                       AND state = 'active'";
        let waiting: i64 = admin.query_one(waiting, &[]).await.expect("a count").get(0);
        assert!(waiting <= 4, "{waiting} sessions wait");
    }
    lock.rollback().await.expect("ends");
    becomes_again(&world, &deploy, sent.run).await;

    world.stack.halt("postgres").await.expect("halts");
    // Sessions outlive their postmaster for a moment.
    eventually("postgres is away", async || {
        let answer = world.send(deploy.run(sent.run)).await;
        (answer.status == 503).then(|| answer.refused(503, "unavailable"))
    })
    .await;
    world.send(deploy.delivery("while-it-is-away")).await.created();
    world.stack.start("postgres").await.expect("starts");
    becomes_again(&world, &deploy, sent.run).await;
    world.end().await;
}

async fn becomes_again(world: &World, playbook: &Playbook, run: Uuid) {
    eventually("it is told again", async || (world.send(playbook.run(run)).await.status == 200).then_some(())).await;
}

/// Questions take no place from deliveries, nor deliveries from questions.
#[tokio::test]
async fn intake_is_saturated() {
    let world = World::with(|builder| builder.gateway(Extra::new().env("RUNLATCH_MAX_IN_FLIGHT", "1"))).await;
    let deploy = world.playbook("acme/deploy").await;
    let sent = world.send(deploy.delivery("k")).await.created();
    becomes(&world, &deploy, sent.run, "created").await;
    let mut slow = Raw::connect(&world.stack.url()).await;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nx-webhook-secret: {}\r\nx-idempotency-key: slow\r\ncontent-length: 100\r\n\r\n{{",
        deploy.path, deploy.secret
    );
    assert!(slow.send(head).await);
    eventually("the slow one is in flight", async || {
        (world.metric("gateway-1", "runlatch_gateway_in_flight").await == Some(1.0)).then_some(())
    })
    .await;
    world.send(deploy.delivery("other")).await.refused(503, "overloaded");
    assert_eq!(status(&world, &deploy, sent.run, "k").await["status"], "created");
    world.end().await;
}

/// LISTEN has a database URL of its own, where the other leads to a pooler, or here to nobody.
#[tokio::test]
async fn the_catalog_is_followed_by_another_way() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let own = Extra::new()
        .env("LISTEN_DATABASE_URL", world.stack.database_url(Role::Gateway))
        .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
    world.stack.add_gateway(&own).await.expect("starts");
    let sent = world.send(deploy.delivery("k").gateway(1)).await.created();
    becomes(&world, &deploy, sent.run, "created").await;
    world.send(deploy.run(sent.run).gateway(1)).await.refused(503, "unavailable");
    world.end().await;
}
