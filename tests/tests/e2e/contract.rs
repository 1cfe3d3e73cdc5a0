//! Every row of the contract's table.

use std::time::{Duration, Instant};

use futures_util::stream;
use harness::raw::Raw;
use harness::{World, eventually};
use local::Extra;
use reqwest::Body;

#[tokio::test]
async fn a_delivery_becomes_a_run_and_its_retry_replays() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;

    let created = world.send(deploy.delivery("k1")).await.created();
    let replayed = world.send(deploy.delivery("k1")).await.replayed();
    assert_eq!(replayed, created);
    world.send(deploy.delivery("k1").body(r#"{"another":1}"#)).await.conflicts_with(created.run);
    // The target is part of what a key names.
    world.send(deploy.delivery("k1").query("project=side")).await.conflicts_with(created.run);

    let run = world.only_run().await;
    assert_eq!((run.id, run.accepted_at, run.key.as_str()), (created.run, created.timestamp, "k1"));
    assert_eq!((run.project.as_str(), run.template.as_str()), ("main", "plain"));
    world.end().await;
}

/// What is refused before a key is claimed: in the order of the table, and each leaves no trace of its key.
#[tokio::test]
async fn refusals() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let resting = world.playbook("acme/resting").await;
    let path = deploy.path.as_str();
    let large = format!(r#"{{"filler":"{}"}}"#, "x".repeat(512 * 1024));
    let is = |delivery, status, code| (delivery, status, code);
    let k = || deploy.delivery("k");
    let key = "x-idempotency-key";
    let secret = "x-webhook-secret";
    for (delivery, status, code) in [
        // 1: route and method.
        is(k().path("/"), 404, "not_found"),
        is(k().path(&format!("{path}/")), 404, "not_found"),
        is(k().path(&path.replace("acme", "ac%2Fme")), 404, "not_found"),
        is(k().path(&path.replace("acme", "Acme")), 404, "not_found"),
        is(k().path(&path.replace("/api", "")), 404, "not_found"),
        is(k().method("GET"), 405, "method_not_allowed"),
        is(k().method("PUT"), 405, "method_not_allowed"),
        is(k().method("OPTIONS"), 405, "method_not_allowed"),
        // 3: the secret's header.
        is(k().without(secret), 401, "invalid_secret"),
        is(k().also(secret, &deploy.secret), 401, "invalid_secret"),
        // Not even looked up, or it would be 404.
        is(k().secret(&"s".repeat(513)).path(&path.replace("acme", "nobody")), 401, "invalid_secret"),
        // 4: what the URL names.
        is(k().path(&path.replace("acme", "nobody")), 404, "not_found"),
        is(k().path(&path.replace("deploy", "nothing")), 404, "not_found"),
        // 5: the secret.
        is(k().secret("wrong"), 401, "invalid_secret"),
        is(k().secret(""), 401, "invalid_secret"),
        is(k().secret(&"s".repeat(512)), 401, "invalid_secret"),
        is(k().secret(&resting.secret), 401, "invalid_secret"),
        is(resting.delivery("k").secret("wrong"), 404, "not_found"),
        // 6: the playbook's state.
        is(resting.delivery("k"), 404, "playbook_disabled"),
        // 8: the key.
        is(k().without(key), 400, "missing_idempotency_key"),
        is(k().also(key, "k"), 400, "invalid_idempotency_key"),
        is(k().header(key, ""), 400, "invalid_idempotency_key"),
        is(k().header(key, "a b"), 400, "invalid_idempotency_key"),
        is(k().header(key, "é"), 400, "invalid_idempotency_key"),
        is(k().header(key, "k".repeat(256)), 400, "invalid_idempotency_key"),
        // 9: the query.
        is(k().query("project=main&project=main"), 400, "invalid_query"),
        is(k().query("project="), 400, "invalid_query"),
        is(k().query("template=Plain"), 400, "invalid_query"),
        // 10: the body's length.
        is(k().body(large.clone()), 413, "payload_too_large"),
        is(k().streamed(endless()), 413, "payload_too_large"),
        // 11: the body.
        is(k().body(""), 400, "invalid_body"),
        is(k().body("[]"), 400, "invalid_body"),
        is(k().body("{}x"), 400, "invalid_body"),
        is(k().body("\u{feff}{}"), 400, "invalid_body"),
        is(k().body(nested(129)), 400, "invalid_body"),
        // 12: the target.
        is(k().query("project=nothing"), 422, "project_not_found"),
        is(k().query("template=nothing"), 422, "template_not_found"),
    ] {
        let shown = format!("{delivery:.200?}");
        let answer = world.send(delivery).await;
        assert_eq!(answer.status, status, "{shown}: {answer:?}");
        answer.refused(status, code);
    }
    // HEAD is refused like GET; its answer has no body.
    let head = world.send(k().method("HEAD")).await;
    assert_eq!((head.status, head.header("allow")), (405, Some("POST")));

    // None of them has bound the key.
    world.send(k()).await.created();
    assert_eq!(world.only_run().await.key, "k");
    world.end().await;
}

/// Twice the limit, in pieces, with no length announced.
fn endless() -> Body {
    Body::wrap_stream(stream::iter((0..1024).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024]))))
}

/// What is not refused: the far ends of what is allowed, and what is none of the gateway's business.
#[tokio::test]
async fn acceptances() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let filler = 512 * 1024 - r#"{"f":""}"#.len();
    for (index, delivery) in [
        deploy.delivery("k").path(&deploy.path.replace("acme", "%61cme")),
        deploy.delivery("k").query("utm_source=x&utm_source=y&"),
        deploy.delivery("k").query("project=main"),
        deploy.delivery("k").query("template=fancy&project=side"),
        deploy.delivery("k").header("content-type", "text/plain"),
        deploy.delivery("k").body(format!(r#"{{"f":"{}"}}"#, "x".repeat(filler))),
        deploy.delivery("k").streamed(Body::wrap_stream(stream::iter([Ok::<_, std::io::Error>("{\"a"), Ok("\":1}")]))),
        deploy.delivery("k").body(nested(128)),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("{index}{}", "~".repeat(254));
        world.send(delivery.header("x-idempotency-key", &key[..255])).await.created();
    }
    world.settled().await;
    let runs = world.runs().await;
    assert_eq!(runs.len(), 8);
    assert_eq!((runs[2].project.as_str(), runs[2].template.as_str()), ("main", "plain"));
    assert_eq!((runs[3].project.as_str(), runs[3].template.as_str()), ("side", "fancy"));
    assert_eq!(world.count("dead_letters").await, 0);
    world.end().await;
}

/// An object, nested so deep.
fn nested(depth: usize) -> String {
    format!("{}{{}}{}", r#"{"a":"#.repeat(depth - 1), "}".repeat(depth - 1))
}

/// Row 2, and 408: one slow body takes the only place.
#[tokio::test]
async fn saturated_and_slow() {
    let bounds = Extra::new().env("RUNLATCH_MAX_IN_FLIGHT", "1").env("RUNLATCH_BODY_TIMEOUT", "2s");
    let world = World::with(|builder| builder.gateway(bounds)).await;
    let deploy = world.playbook("acme/deploy").await;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nx-webhook-secret: {}\r\nx-idempotency-key: slow\r\ncontent-length: 100\r\n\r\n{{",
        deploy.path, deploy.secret
    );
    let mut slow = Raw::connect(&world.stack.url()).await;
    let since = Instant::now();
    assert!(slow.send(head).await);
    eventually("the slow one is in flight", async || {
        (world.metric("gateway-1", "runlatch_gateway_in_flight").await == Some(1.0)).then_some(())
    })
    .await;

    // Refused at once, however wrong the rest is; only the route comes first.
    world.send(deploy.delivery("k")).await.refused(503, "overloaded");
    world.send(deploy.delivery("k").without("x-webhook-secret")).await.refused(503, "overloaded");
    world.send(deploy.delivery("k").path("/")).await.refused(404, "not_found");

    let answer = slow.answer().await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.ends_with(r#"{"error":"request_timeout"}"#), "{answer}");
    assert!(since.elapsed() < Duration::from_secs(8), "it was given {:?}", since.elapsed());
    world.send(deploy.delivery("k")).await.created();
    world.send(deploy.delivery("slow")).await.created();
    world.settled().await;
    assert_eq!(world.count("runs").await, 2);
    world.end().await;
}

/// Row 14, and what a retry may expect while the queue is down.
#[tokio::test]
async fn the_queue_is_down() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let known = world.send(deploy.delivery("known")).await.created();
    // Marked as published off the caller's time; until then a retry could not be told apart from a first.
    world.marked(known.run).await;

    world.stack.halt("nats").await.expect("halts");
    eventually("the gateway notices", async || {
        (world.send(deploy.delivery("probe")).await.status == 503).then_some(())
    })
    .await;
    world.send(deploy.delivery("new")).await.refused(503, "unavailable");
    assert_eq!(world.send(deploy.delivery("known")).await.replayed(), known);
    world.send(deploy.delivery("known").body("{}")).await.conflicts_with(known.run);
    world.send(deploy.delivery("new").query("project=nothing")).await.refused(422, "project_not_found");
    assert!(!world.claimed("new").await, "a refusal has bound a key");

    world.stack.start("nats").await.expect("starts");
    let created = eventually("the queue is back", async || {
        let answer = world.send(deploy.delivery("new")).await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    // A 503 between may have left the key bound to its own payload; then the retry is told that it is one.
    assert!(matches!(created.status, 200 | 202), "{created:?}");
    tokio::time::timeout(Duration::from_secs(30), world.settled()).await.expect("settles");
    let keys: Vec<_> = world.runs().await.into_iter().map(|run| run.key).filter(|key| key != "probe").collect();
    assert_eq!(keys, ["known", "new"]);
    world.end().await;
}
