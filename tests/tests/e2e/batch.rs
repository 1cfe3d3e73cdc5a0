//! Many deliveries in one request.

use std::io::Write;
use std::time::Duration;

use flate2::{Compression, write::GzEncoder};
use futures_util::future::join_all;
use futures_util::stream;
use harness::{Answer, Delivery, Playbook, World, eventually};
use local::Extra;
use reqwest::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

fn batch(playbook: &Playbook, lines: &[String]) -> Delivery {
    batch_of(playbook, lines.join("\n").into_bytes())
}

fn batch_of(playbook: &Playbook, body: Vec<u8>) -> Delivery {
    let request = playbook.delivery("none").without("x-idempotency-key").header("content-type", "application/x-ndjson");
    request.path(&format!("{}/batch", playbook.path)).body(body)
}

fn line(key: &str) -> String {
    format!(r#"{{"idempotencyKey":"{key}","payload":{}}}"#, harness::payload(key))
}

/// The answers to the lines; fails unless the batch was taken.
#[track_caller]
fn answers(answer: &Answer) -> Vec<Value> {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")), "{answer:?}");
    assert!(answer.header("x-request-id").is_some());
    answer.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn codes(answers: &[Value]) -> Vec<u64> {
    answers.iter().map(|answer| answer["code"].as_u64().expect("a code")).collect()
}

/// The same lines, one by one to another playbook and in one batch to this: each is answered with the same code, and with the
/// same members, but for what names the run and the time.
#[tokio::test]
async fn a_line_is_a_delivery() {
    let world = World::start().await;
    let (deploy, notify) = (world.playbook("acme/deploy").await, world.playbook("acme/notify").await);
    let large = format!(r#"{{"f":"{}"}}"#, "x".repeat(512 * 1024));
    let longest = format!(r#"{{"f":"{}"}}"#, "x".repeat(512 * 1024 - r#"{"f":""}"#.len()));
    // Key, payload, query, and what it comes to.
    let deliveries = [
        ("new", "{\"a\": 1}", "", 202),
        ("new", "{\"a\": 1}", "", 200),
        ("new", "{\"a\":1}", "", 409),
        ("new", "{\"a\": 1}", "project=side", 409),
        ("aside", "{}", "project=side&template=fancy", 202),
        ("gone", "{}", "project=nothing", 422),
        ("gone", "{}", "template=nothing", 422),
        ("odd", "{}", "project=Main", 400),
        ("odd", "[]", "", 400),
        ("odd", "5", "", 400),
        ("odd", "{}", "", 202),
        ("large", large.as_str(), "", 413),
        ("large", longest.as_str(), "", 202),
        ("q\"\\", "{}", "", 202),
    ];
    let mut lines = Vec::new();
    let mut alone = Vec::new();
    for (key, payload, query, code) in &deliveries {
        let members: String = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, slug) = pair.split_once('=').expect("a pair");
                format!(r#","{name}":"{slug}""#)
            })
            .collect();
        lines.push(format!(r#"{{"payload":{payload},"idempotencyKey":{}{members}}}"#, json!(key)));
        let answer = world.send(notify.delivery(key).query(query).body(*payload)).await;
        assert_eq!(answer.status, *code, "{answer:?}");
        let mut answer: Value = serde_json::from_str(&answer.text).expect("JSON");
        answer["code"] = json!(code);
        alone.push(answer);
    }
    let answer = world.send(batch(&deploy, &lines)).await;
    assert_eq!(answer.header("connection"), None);
    let together = answers(&answer);
    assert_eq!(codes(&together), deliveries.map(|(.., code)| u64::from(code)));
    for (mut alone, mut line) in alone.into_iter().zip(together.clone()) {
        for answer in [&mut alone, &mut line] {
            for member in ["runId", "timestamp"] {
                answer.as_object_mut().expect("an object").entry(member).and_modify(|value| *value = json!("…"));
            }
        }
        assert_eq!(alone, line);
    }
    assert_eq!(together[1]["runId"], together[0]["runId"]);
    assert_eq!(together[1]["timestamp"], together[0]["timestamp"]);
    assert_eq!(together[2]["runId"], together[0]["runId"]);

    world.settled().await;
    let stored = "SELECT idempotency_key, payload::text, projects.slug::text, templates.slug::text FROM runs
                  JOIN playbooks ON playbooks.id = playbook_id AND playbooks.slug = 'deploy'
                  JOIN projects ON projects.id = runs.project_id JOIN templates ON templates.id = runs.template_id
                  ORDER BY idempotency_key";
    let rows = world.database.query(stored, &[]).await.expect("rows");
    let rows: Vec<[String; 4]> = rows.iter().map(|row| [0, 1, 2, 3].map(|column| row.get(column))).collect();
    let row =
        |key: &str, payload: &str, project: &str, template: &str| [key, payload, project, template].map(str::to_owned);
    let mut expected = [
        row("new", "{\"a\": 1}", "main", "plain"),
        row("aside", "{}", "side", "fancy"),
        row("odd", "{}", "main", "plain"),
        row("large", &longest, "main", "plain"),
        row("q\"\\", "{}", "main", "plain"),
    ];
    expected.sort();
    let mut rows = rows;
    rows.sort();
    assert!(rows == expected, "{:.500?}", rows);
    world.end().await;
}

#[tokio::test]
async fn a_bad_line_fails_alone() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let mut body = [
        line("first"),
        "no JSON".to_owned(),
        String::new(),
        "  \r".to_owned(),
        r#"{"payload":{}}"#.to_owned(),
        r#"{"idempotencyKey":"a b","payload":{}}"#.to_owned(),
        r#"{"idempotencyKey":"k"}"#.to_owned(),
        r#"{"idempotencyKey":"k","payload":{},"projct":"main"}"#.to_owned(),
        format!("{}{}", line("long"), " ".repeat(1 << 20)),
        format!("{}\r", line("carriage-return")),
    ]
    .join("\n")
    .into_bytes();
    body.extend(b"\n\"\xff\"\n");
    body.extend(line("last").into_bytes());
    let answer = world.send(batch_of(&deploy, body)).await;
    let told = answers(&answer);
    assert_eq!(codes(&told), [202, 400, 400, 400, 400, 400, 413, 202, 400, 202]);
    let errors: Vec<_> = told.iter().filter_map(|answer| answer["error"].as_str()).collect();
    let (key, body) = ("missing_idempotency_key", "invalid_body");
    assert_eq!(errors, [body, key, "invalid_idempotency_key", body, body, "payload_too_large", body]);
    for answer in told.iter().filter(|answer| answer["error"] == "invalid_body") {
        assert!(!answer["issues"][0]["message"].as_str().expect("a message").contains("projct"), "{answer}");
    }
    world.settled().await;
    let keys: Vec<_> = world.runs().await.into_iter().map(|run| run.key).collect();
    assert_eq!(keys.len(), 3, "{keys:?}");
    // Nothing is a batch as well.
    assert_eq!(answers(&world.send(batch_of(&deploy, b"\n \n".to_vec())).await).len(), 0);
    world.end().await;
}

/// What concerns the whole is answered for the whole, and no line is looked at.
#[tokio::test]
async fn a_batch_is_refused_whole() {
    let world = World::start().await;
    let (deploy, resting) = (world.playbook("acme/deploy").await, world.playbook("acme/resting").await);
    let one = || batch(&deploy, &[line("k")]);
    for (request, status, code) in [
        (one().secret("wrong"), 401, "invalid_secret"),
        (one().without("x-webhook-secret"), 401, "invalid_secret"),
        (batch(&resting, &[line("k")]), 404, "playbook_disabled"),
        (one().path("/api/webhooks/orgs/acme/playbooks/none/batch"), 404, "not_found"),
        (one().without("content-type"), 415, "unsupported_media_type"),
        (one().header("content-type", "application/json"), 415, "unsupported_media_type"),
        (one().also("content-type", "application/x-ndjson"), 415, "unsupported_media_type"),
        (one().header("content-encoding", "br"), 415, "unsupported_content_encoding"),
        (one().method("GET"), 405, "method_not_allowed"),
    ] {
        let answer = world.send(request).await;
        answer.refused(status, code);
        assert_eq!(answer.header("accept"), (code == "unsupported_media_type").then_some("application/x-ndjson"));
    }
    assert!(!world.claimed("k").await);
    let answer = world.send(one().header("content-type", "Application/X-NDJSON; charset=utf-8")).await;
    assert_eq!(codes(&answers(&answer)), [202]);
    world.end().await;
}

#[tokio::test]
async fn lines_past_a_limit() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let lines: Vec<_> = (0..5010).map(|n| line(&format!("k{n}"))).collect();
    let answer = world.send(batch(&deploy, &lines)).await;
    let told = answers(&answer);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(codes(&told), [vec![202; 5000], vec![413; 10]].concat());
    // As many lines as may be, and a retry of all of them.
    let answer = world.send(batch(&deploy, &lines[..5000])).await;
    assert_eq!(answer.header("connection"), None);
    let again = answers(&answer);
    assert_eq!(codes(&again), [200; 5000]);
    for (first, again) in told.iter().zip(&again) {
        assert_eq!((&first["runId"], &first["timestamp"]), (&again["runId"], &again["timestamp"]));
    }
    world.settled().await;
    assert_eq!(world.count("runs").await, 5000);

    // By bytes: the line that the limit lies in is refused, and so is each behind it.
    let large: Vec<_> = (0..100)
        .map(|n| format!(r#"{{"idempotencyKey":"large-{n:03}","payload":{{"f":"{}"}}}}"#, "x".repeat(99_951)))
        .collect();
    assert_eq!(large[0].len() + 1, 100_001);
    let fits = (8 << 20) / 100_001;
    let answer = world.send(batch(&deploy, &large)).await;
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(codes(&answers(&answer)), [vec![202; fits], vec![413; 100 - fits]].concat());
    // The same in gzip, which is a thousandth of it.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(large.join("\n").as_bytes()).expect("into memory");
    let packed = encoder.finish().expect("into memory");
    assert!(packed.len() < 100_000);
    let packed = batch_of(&deploy, packed).header("content-encoding", "gzip");
    assert_eq!(codes(&answers(&world.send(packed).await)), [vec![200; fits], vec![413; 100 - fits]].concat());
    // But not without end: as many lines again, and as many bytes again.
    let answer = world.send(batch(&deploy, &vec!["{}".to_owned(); 20_000])).await;
    assert_eq!(codes(&answers(&answer)), [vec![400; 5000], vec![413; 5000]].concat());
    assert_eq!(answer.header("connection"), Some("close"));
    let answer = world.send(batch_of(&deploy, vec![b'x'; (16 << 20) + 100_000])).await;
    assert_eq!((codes(&answers(&answer)), answer.header("connection")), (vec![413], Some("close")));
    // Files of nothing, one after the other, and nothing but ends of lines.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(b"").expect("into memory");
    let empty = encoder.finish().expect("into memory").repeat(100_000);
    let empty = batch_of(&deploy, empty).header("content-encoding", "gzip");
    assert_eq!(codes(&answers(&world.send(empty).await)), [400]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&vec![b'\n'; 7 << 20]).expect("into memory");
    encoder.write_all(line("behind-them").as_bytes()).expect("into memory");
    let blank = batch_of(&deploy, encoder.finish().expect("into memory")).header("content-encoding", "gzip");
    assert_eq!(codes(&answers(&world.send(blank).await)), [202]);
    let broken = batch_of(&deploy, b"no gzip at all".to_vec()).header("content-encoding", "gzip");
    assert_eq!(codes(&answers(&world.send(broken).await)), [400]);
    world.end().await;
}

/// Lines are taken as they come, and who sends no more is not waited for.
#[tokio::test]
async fn a_slow_batch() {
    let world = World::with(|builder| builder.gateway(Extra::new().env("RUNLATCH_MAX_BATCHES", "1"))).await;
    let deploy = world.playbook("acme/deploy").await;
    let (pieces, mut received) = mpsc::unbounded_channel::<Result<String, std::io::Error>>();
    let body = Body::wrap_stream(stream::poll_fn(move |context| received.poll_recv(context)));
    pieces.send(Ok(line("first") + "\n" + &line("second")[..10])).expect("it is being sent");
    let slow = world.send(batch_of(&deploy, Vec::new()).streamed(body));
    let (world_ref, deploy_ref) = (&world, &deploy);
    let meanwhile = async move {
        let (world, deploy) = (world_ref, deploy_ref);
        // Before its body has ended.
        eventually("the first line is taken", async || world.claimed("first").await.then_some(())).await;
        world.send(batch(deploy, &[line("k")])).await.refused(503, "overloaded");
        pieces.send(Ok(line("second")[10..].to_owned())).expect("it is being sent");
        drop(pieces);
    };
    let (answer, ()) = tokio::join!(slow, meanwhile);
    assert_eq!(codes(&answers(&answer)), [202, 202]);
    assert_eq!(codes(&answers(&world.send(batch(&deploy, &[line("k"), line("first")])).await)), [202, 200]);
    world.end().await;
}

#[tokio::test]
async fn a_batch_that_does_not_end() {
    let world = World::with(|builder| builder.gateway(Extra::new().env("RUNLATCH_BODY_TIMEOUT", "1s"))).await;
    let deploy = world.playbook("acme/deploy").await;
    let piece = line("first") + "\n" + &line("second")[..10];
    let never = stream::pending::<Result<String, std::io::Error>>();
    let body = futures_util::StreamExt::chain(stream::iter([Ok(piece)]), never);
    let answer = world.send(batch_of(&deploy, Vec::new()).streamed(Body::wrap_stream(body))).await;
    assert_eq!(codes(&answers(&answer)), [202, 408]);
    assert_eq!(answer.header("connection"), Some("close"));
    world.end().await;
}

/// What concerns a delivery concerns a line: the schema, the request's name, a check that was deferred.
#[tokio::test]
async fn lines_are_treated_as_deliveries() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let schema = "input_schema = '{\"properties\": {\"n\": {\"type\": \"number\"}}}'";
    let playbook = "[organizations.acme.playbooks.deploy]";
    world.stack.catalog(&harness::CATALOG.replace(playbook, &format!("{playbook}\n{schema}"))).await.expect("applied");
    // Under another key each time: what was accepted before the schema came is known.
    let bad = || format!(r#"{{"idempotencyKey":"{}","payload":{{"n":"canary"}}}}"#, Uuid::new_v4());
    let told = eventually("the schema is in force", async || {
        let request = batch(&deploy, &[line("k"), bad()]).header("x-request-id", "batch-1");
        let answer = world.send(request).await;
        assert_eq!(answer.header("x-request-id"), Some("batch-1"));
        let told = answers(&answer);
        (told[1]["code"] == 400).then_some(told)
    })
    .await;
    assert_eq!(told[1]["issues"], json!([{"path": "/n", "message": "value is not of type \"number\""}]));
    world.settled().await;
    let of = "SELECT request_id FROM runs WHERE idempotency_key = 'k'";
    assert_eq!(world.database.query_one(of, &[]).await.expect("the run").get::<_, String>(0), "batch-1");

    world.stack.halt("redis").await.expect("halts");
    world.breaker_is("open").await;
    let told = answers(&world.send(batch(&deploy, &[line("deferred")])).await);
    assert_eq!((&told[0]["code"], &told[0]["idempotencyCheck"]), (&json!(202), &json!("deferred")));
    world.end().await;
}

/// What is switched off while a batch is being sent is off for the lines that come later.
#[tokio::test]
async fn a_kill_switch_in_the_midst_of_it() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let (pieces, mut received) = mpsc::unbounded_channel::<Result<String, std::io::Error>>();
    let body = Body::wrap_stream(stream::poll_fn(move |context| received.poll_recv(context)));
    pieces.send(Ok(line("first") + "\n")).expect("it is being sent");
    let (world_ref, deploy_ref) = (&world, &deploy);
    let meanwhile = async move {
        let (world, deploy) = (world_ref, deploy_ref);
        eventually("the first line is taken", async || world.claimed("first").await.then_some(())).await;
        world.stack.runlatch(&["kill-switch", "on"]).await.expect("engaged");
        eventually("it is in force", async || (world.send(deploy.probe()).await.status == 404).then_some(())).await;
        pieces.send(Ok(line("second") + "\n" + &line("third"))).expect("it is being sent");
        drop(pieces);
    };
    let (answer, ()) = tokio::join!(world.send(batch_of(&deploy, Vec::new()).streamed(body)), meanwhile);
    let told = answers(&answer);
    assert_eq!(codes(&told), [202, 404, 404]);
    assert_eq!(told[1]["error"], "kill_switch_engaged");
    world.end().await;
}

/// Batches share their places, and wait for them; they take none from deliveries that come alone.
#[tokio::test]
async fn many_batches_and_few_places() {
    let world = World::with(|builder| builder.gateway(Extra::new().env("RUNLATCH_MAX_IN_FLIGHT", "8"))).await;
    let deploy = world.playbook("acme/deploy").await;
    let batches = (0..8).map(|batch_number| {
        let lines: Vec<_> = (0..200).map(|n| line(&format!("{batch_number}-{n}"))).collect();
        world.send(batch(&deploy, &lines))
    });
    let alone = async {
        for n in 0..50 {
            world.send(deploy.delivery(&format!("alone-{n}"))).await.created();
        }
    };
    let (told, ()) = tokio::join!(join_all(batches), alone);
    for answer in told {
        assert_eq!(codes(&answers(&answer)), [202; 200]);
    }
    world.settled().await;
    assert_eq!(world.count("runs").await, 8 * 200 + 50);
    world.end().await;
}

#[tokio::test]
async fn while_the_queue_is_down() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let known = world.send(deploy.delivery("known")).await.created();
    world.marked(known.run).await;
    world.stack.halt("nats").await.expect("halts");
    let told = eventually("the gateway notices", async || {
        let lines = [line("new"), line("known"), line("newer")];
        let told = answers(&world.send(batch(&deploy, &lines)).await);
        (codes(&told) == [503, 200, 503]).then_some(told)
    })
    .await;
    assert_eq!(told[1]["runId"], known.run.to_string());
    for refused in [&told[0], &told[2]] {
        assert_eq!(refused["error"], "unavailable");
        assert!((1..=3).contains(&refused["retryAfter"].as_u64().expect("seconds")), "{refused}");
    }
    world.stack.start("nats").await.expect("starts");
    eventually("all are accepted", async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let told = answers(&world.send(batch(&deploy, &[line("new"), line("newer")])).await);
        codes(&told).iter().all(|code| matches!(code, 200 | 202)).then_some(())
    })
    .await;
    world.settled().await;
    assert_eq!(world.count("runs").await, 3);
    world.end().await;
}
