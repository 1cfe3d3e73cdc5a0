//! What a playbook's payloads have to be.

use harness::{CATALOG, Playbook, World, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

const SCHEMA: &str =
    r#"{"required": ["order"], "properties": {"order": {"properties": {"total": {"type": "number"}}}}}"#;

/// Applies the catalog with this schema on acme/deploy, and waits until it is in force, told by what becomes of `probe`.
async fn set(world: &World, deploy: &Playbook, entries: &str, probe: (&str, u16)) {
    let catalog = CATALOG
        .replace("[organizations.acme.playbooks.deploy]", &format!("[organizations.acme.playbooks.deploy]\n{entries}"));
    world.stack.catalog(&catalog).await.expect("applied");
    in_force(world, deploy, probe).await;
}

async fn in_force(world: &World, deploy: &Playbook, (body, status): (&str, u16)) {
    eventually("the schema is in force", async || {
        let answer = world.send(deploy.delivery(&Uuid::new_v4().to_string()).body(body)).await;
        (answer.status == status).then_some(())
    })
    .await;
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[tokio::test]
async fn enforced() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let early = || deploy.delivery("early").body(text(&json!({"total": "canary"})));
    let known = world.send(early()).await.created();
    world.marked(known.run).await;
    set(&world, &deploy, &format!("input_schema = '{SCHEMA}'"), ("{}", 400)).await;

    let bad = |length: usize| text(&json!({"order": {"total": "canary", "filler": "x".repeat(length)}}));
    // Both short and so long that it is judged elsewhere.
    for length in [0, 100_000] {
        let answer = world.send(deploy.delivery("k").body(bad(length))).await;
        answer.refused(400, "invalid_body");
        let expected = json!({"error": "invalid_body", "issues": [
            {"path": "/order/total", "message": "value is not of type \"number\""},
        ]});
        assert_eq!(serde_json::from_str::<Value>(&answer.text).expect("JSON"), expected);
        let good = text(&json!({"order": {"total": 1, "filler": "x".repeat(length)}}));
        world.send(deploy.delivery(&format!("good-{length}")).body(good)).await.created();
    }
    assert!(!world.claimed("k").await, "a refusal has bound a key");
    // What is no object at all is told first.
    world.send(deploy.delivery("k").body("[]")).await.refused(400, "invalid_body");
    // The schema comes before the target.
    world.send(deploy.delivery("k").body(bad(0)).query("project=nothing")).await.refused(400, "invalid_body");

    // What was accepted before the schema was there is known, and no more than that.
    assert_eq!(world.send(early()).await.replayed(), known);
    world.send(early().body(bad(0))).await.conflicts_with(known.run);
    world.send(early().header("x-idempotency-key", "new")).await.refused(400, "invalid_body");
    world.settled().await;
    let keys = world.runs().await.into_iter().map(|run| run.key).filter(|key| key.parse::<Uuid>().is_err());
    assert_eq!(keys.collect::<Vec<_>>(), ["early", "good-0", "good-100000"]);

    let many: Vec<Value> = (0..100).map(Value::from).collect();
    set(&world, &deploy, "input_schema = {properties = {list = {items = {type = \"string\"}}}}", ("{}", 202)).await;
    let answer = world.send(deploy.delivery("many").body(text(&json!({ "list": many })))).await;
    let issues = serde_json::from_str::<Value>(&answer.text).expect("JSON")["issues"].as_array().expect("a list").len();
    assert_eq!((answer.status, issues), (400, 20));
    // Without one, all is as before.
    set(&world, &deploy, "", (r#"{"list":[1]}"#, 202)).await;
    world.send(deploy.delivery("many").body(text(&json!({ "list": many })))).await.created();
    world.end().await;
}

#[tokio::test]
async fn in_shadow() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let count = "runlatch_gateway_off_schema_total{mode=\"shadow\"}";
    set(&world, &deploy, &format!("input_schema = '{SCHEMA}'\ninput_schema_mode = \"shadow\""), ("{}", 202)).await;
    let before = eventually("violations are counted", async || {
        world.send(deploy.delivery("first").body("{}")).await;
        world.metric("gateway-1", count).await.filter(|count| *count > 0.0)
    })
    .await;
    let bad = text(&json!({"order": {"total": "canary", "canary": 1}}));
    for key in ["a", "b", "c"] {
        world.send(deploy.delivery(key).body(bad.clone())).await.created();
    }
    world.send(deploy.delivery("d").body(r#"{"order":{"total":1}}"#)).await.created();
    assert_eq!(world.metric("gateway-1", count).await, Some(before + 3.0));
    let log = world.stack.log("gateway-1");
    let lines: Vec<_> = log.lines().filter(|line| line.contains("acme/deploy")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("/required"), "{lines:?}");
    world.settled().await;
    assert_eq!(world.count("dead_letters").await, 0);
    world.end().await;
}

/// Written past `catalog apply`, which would refuse it.
#[tokio::test]
async fn one_that_does_not_compile() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    set(&world, &deploy, &format!("input_schema = '{SCHEMA}'"), ("{}", 400)).await;
    assert_eq!(world.metric("gateway-1", "runlatch_gateway_broken_schemas").await, Some(0.0));
    let break_it = r#"UPDATE playbooks SET input_schema = '{"type": "objekt"}' WHERE slug = 'deploy'"#;
    world.database.batch_execute(break_it).await.expect("the column takes it");
    in_force(&world, &deploy, ("{}", 202)).await;
    world.send(deploy.delivery("k").body(r#"{"order":{"total":""}}"#)).await.created();
    assert_eq!(world.metric("gateway-1", "runlatch_gateway_broken_schemas").await, Some(1.0));
    let (status, ready) = world.ops("gateway-1", "/readyz").await;
    assert!(status == 200 && ready.contains("acme/deploy"), "{status} {ready}");
    let log = world.stack.log("gateway-1");
    let told = log.lines().filter(|line| line.contains("WARN") && line.contains("input schema")).count();
    assert_eq!(told, 1, "{log}");
    // Another change reads the playbook again, and says nothing new of it.
    world.playbook("acme/deploy").await;
    let told = world.stack.log("gateway-1").lines().filter(|line| line.contains("does not compile")).count();
    assert_eq!(told, 1);
    let bad = r#"{"order":{"total":""}}"#;
    set(&world, &deploy, &format!("input_schema = '{SCHEMA}'"), (bad, 400)).await;
    assert_eq!(world.metric("gateway-1", "runlatch_gateway_broken_schemas").await, Some(0.0));
    world.end().await;
}
