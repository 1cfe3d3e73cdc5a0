//! What HTTP clients, and those who look after them, expect of any server.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use futures_util::future::join_all;
use harness::raw::Raw;
use harness::{World, eventually};
use local::{Extra, Role};
use uuid::Uuid;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn request_of(world: &World, table: &str, run: Uuid) -> Option<String> {
    let id = if table == "runs" { "id" } else { "run_id" };
    let row = format!("SELECT request_id FROM {table} WHERE {id} = $1");
    world.database.query_one(&row, &[&run]).await.expect("a row").get(0)
}

/// A request's name comes back with every answer, and stands in the logs of both processes and in its run.
#[tokio::test]
async fn a_request_can_be_found() {
    let aloud = || Extra::new().env("RUNLATCH_LOG", "info,gateway=debug,worker=debug");
    let world = World::with(|builder| builder.gateway(aloud()).worker(aloud())).await;
    let deploy = world.playbook("acme/deploy").await;
    let id = "x-request-id";

    let answer = world.send(deploy.delivery("named").header(id, "req-1").header("traceparent", TRACEPARENT)).await;
    assert_eq!(answer.header(id), Some("req-1"));
    let named = answer.created();
    let answer = world.send(deploy.delivery("unnamed")).await;
    let made = answer.header(id).expect("a name").to_owned();
    let unnamed = answer.created();
    // A name that is none is replaced, and nobody is refused for it.
    for odd in ["two words", "\"", &"r".repeat(129)] {
        let answer = world.send(deploy.delivery(&format!("odd-{}", odd.len())).header(id, odd)).await;
        assert_ne!(answer.header(id), Some(odd));
        answer.created();
    }
    for delivery in
        [deploy.delivery("k").path("/"), deploy.delivery("k").secret("wrong"), deploy.delivery("k").body("[]")]
    {
        assert_eq!(world.send(delivery.header(id, "req-2")).await.header(id), Some("req-2"));
    }
    world.settled().await;
    assert_eq!(world.send(deploy.run(named.run).header(id, "req-3")).await.header(id), Some("req-3"));
    assert_eq!(request_of(&world, "runs", named.run).await.as_deref(), Some("req-1"));
    assert_eq!(request_of(&world, "runs", unnamed.run).await, Some(made.clone()));
    // A retry is another request; the run came of the first.
    assert_eq!(world.send(deploy.delivery("named").header(id, "req-4")).await.header(id), Some("req-4"));
    assert_eq!(request_of(&world, "runs", named.run).await.as_deref(), Some("req-1"));

    for process in ["gateway-1", "worker-1"] {
        eventually("it is logged", async || {
            let log = world.stack.log(process);
            let line = log.lines().find(|line| line.contains(&named.run.to_string()))?;
            assert!(line.contains("req-1") && line.contains(TRACEPARENT), "{line}");
            assert!(log.lines().any(|line| line.contains(&unnamed.run.to_string()) && line.contains(&made)));
            Some(())
        })
        .await;
    }
    world.end().await;
}

/// Small batches are inserted, large ones copied, and what ends as a dead letter may become a run yet.
#[tokio::test]
async fn whatever_becomes_of_it() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    world.stack.stop("worker-1").await.expect("stops");
    let named = |n: usize| deploy.delivery(&format!("k{n}")).header("x-request-id", format!("req-{n}"));
    join_all((0..200).map(|n| world.send(named(n)))).await.iter().for_each(|answer| _ = answer.created());
    let gone = deploy.delivery("gone").query("project=side").header("x-request-id", "req-gone");
    let gone = world.send(gone).await.created();
    let admin = world.login(Role::Superuser).await;
    admin.batch_execute("DELETE FROM projects WHERE slug = 'side'").await.expect("deleted");
    world.stack.start("worker-1").await.expect("starts");
    world.settled().await;
    let wrong = "SELECT count(*) FROM runs WHERE request_id IS DISTINCT FROM 'req-' || substr(idempotency_key, 2)";
    assert_eq!(world.database.query_one(wrong, &[]).await.expect("a count").get::<_, i64>(0), 0);
    assert_eq!(world.count("runs").await, 200);

    assert_eq!(request_of(&world, "dead_letters", gone.run).await.as_deref(), Some("req-gone"));
    let log = world.stack.log("worker-1");
    assert!(log.lines().any(|line| line.contains("WARN") && line.contains("req-gone")), "{log}");
    world.stack.catalog(harness::CATALOG).await.expect("applied");
    world.stack.runlatch(&["dead-letters", "replay", "--all"]).await.expect("replayed");
    assert_eq!(request_of(&world, "runs", gone.run).await.as_deref(), Some("req-gone"));
    world.end().await;
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).expect("into memory");
    encoder.finish().expect("into memory")
}

#[tokio::test]
async fn packed_bodies() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let packed = |key: &str, body: &[u8]| deploy.delivery(key).header("content-encoding", "gzip").body(gzip(body));
    let body = harness::payload("k");
    let created = world.send(packed("k", body.as_bytes())).await.created();
    // What counts is what is in it, however it is packed.
    assert_eq!(world.send(deploy.delivery("k").body(body.clone())).await.replayed(), created);
    world.send(packed("k", b"{}")).await.conflicts_with(created.run);

    let whole = format!(r#"{{"f":"{}"}}"#, "x".repeat(512 * 1024 - r#"{"f":""}"#.len()));
    world.send(packed("whole", whole.as_bytes())).await.created();
    world.send(packed("longer", (whole + " ").as_bytes())).await.refused(413, "payload_too_large");
    world.send(packed("bomb", &vec![b' '; 64 << 20])).await.refused(413, "payload_too_large");
    world.send(packed("k", b"[]")).await.refused(400, "invalid_body");
    let plain = deploy.delivery("plain").header("content-encoding", "gzip");
    world.send(plain).await.refused(400, "invalid_body");
    for other in ["br", "deflate", "zstd", "gzip, gzip"] {
        let refused = deploy.delivery("other").header("content-encoding", other);
        world.send(refused).await.refused(415, "unsupported_content_encoding");
    }
    world.send(deploy.delivery("identity").header("content-encoding", "identity")).await.created();
    world.settled().await;
    let stored = "SELECT payload::text FROM runs WHERE idempotency_key = 'k'";
    assert_eq!(world.database.query_one(stored, &[]).await.expect("a row").get::<_, String>(0), body);
    assert_eq!(world.count("runs").await, 3);
    world.end().await;
}

/// Head of a delivery with a body of so many bytes, and these further lines.
fn head(deploy: &harness::Playbook, secret: &str, length: usize, lines: &str) -> String {
    format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nx-webhook-secret: {secret}\r\nx-idempotency-key: k\r\ncontent-length: {length}\r\n{lines}\r\n",
        deploy.path
    )
}

/// Who asks first does not send in vain.
#[tokio::test]
async fn a_body_that_is_not_wanted_is_not_asked_for() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let expect = "expect: 100-continue\r\n";
    let long = 512 * 1024 + 1;
    for (head, status) in [
        (head(&deploy, "wrong", 1000, expect), "401"),
        (head(&deploy, &deploy.secret, long, expect), "413"),
        (head(&deploy, &deploy.secret, 1000, &format!("{expect}content-encoding: br\r\n")), "415"),
        (head(&deploy, &deploy.secret, 1000, expect).replace("x-idempotency-key: k\r\n", ""), "400"),
    ] {
        let mut raw = Raw::connect(&world.stack.url()).await;
        assert!(raw.send(&head).await);
        // The final answer is the first, and the connection cannot be used for another: its body may be under way.
        let answer = raw.read_to_end().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    let mut raw = Raw::connect(&world.stack.url()).await;
    assert!(raw.send(head(&deploy, &deploy.secret, 7, expect)).await);
    assert_eq!(raw.read_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(raw.send(r#"{"a":1}"#).await);
    let answer = raw.answer().await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    world.end().await;
}

#[tokio::test]
async fn connections_are_kept_and_answers_are_dated_and_measured() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let mut raw = Raw::connect(&world.stack.url()).await;
    let length = |answer: &str| {
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        assert_eq!(length.parse(), Ok(body.len()), "{answer}");
        let date = head.lines().find_map(|line| line.strip_prefix("date: ")).expect("a date").to_owned();
        assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
    };
    // Refused or not, the connection stays.
    for (secret, status) in [(deploy.secret.as_str(), "202"), ("wrong", "401"), (&deploy.secret, "200")] {
        assert!(raw.send(head(&deploy, secret, 2, "") + "{}").await);
        let answer = raw.answer().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
        length(&answer);
    }
    for (method, status) in [("HEAD", 405), ("OPTIONS", 405), ("GET", 405), ("TRACE", 405)] {
        let answer = world.send(deploy.delivery("k").method(method)).await;
        assert_eq!((answer.status, answer.header("allow")), (status, Some("POST")), "{method}");
        assert_eq!(answer.text.is_empty(), method == "HEAD", "{method}");
        assert!(answer.header("date").is_some() && answer.header("content-length").is_some(), "{method}");
    }
    // Who asks for it to be closed is obeyed, and so is who knows no other way.
    for (version, lines) in [("1.1", "connection: close\r\n"), ("1.0", "")] {
        let mut raw = Raw::connect(&world.stack.url()).await;
        let head = head(&deploy, &deploy.secret, 2, lines).replace("HTTP/1.1", &format!("HTTP/{version}"));
        assert!(raw.send(head + "{}").await);
        let answer = raw.read_to_end().await;
        assert!(answer.starts_with(&format!("HTTP/{version} 200 ")), "{answer}");
    }
    world.end().await;
}

/// Pages may send only where an operator has named their origin.
#[tokio::test]
async fn browsers() {
    let named = Extra::new().env("RUNLATCH_CORS_ORIGINS", "https://console.example.com,http://localhost:3000");
    let world = World::start().await;
    world.stack.add_gateway(&named).await.expect("starts");
    let deploy = world.playbook("acme/deploy").await;
    let (allow, ours) = ("access-control-allow-origin", "https://console.example.com");
    let preflight = |origin: &str| {
        let ask = deploy.delivery("k").method("OPTIONS").body("").header("access-control-request-method", "POST");
        ask.without("x-webhook-secret").without("x-idempotency-key").header("origin", origin)
    };
    // Off, unless it is turned on.
    let answer = world.send(preflight(ours)).await;
    assert_eq!((answer.status, answer.header(allow), answer.header("vary")), (405, None, None));
    let answer = world.send(deploy.delivery("k0").header("origin", ours)).await;
    assert_eq!((answer.status, answer.header(allow), answer.header("vary")), (202, None, None));

    let answer = world.send(preflight(ours).gateway(1)).await;
    assert_eq!((answer.status, answer.header(allow), answer.text.as_str()), (204, Some(ours), ""));
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
    let headers = answer.header("access-control-allow-headers").expect("headers");
    assert!(headers.contains("x-webhook-secret") && headers.contains("x-idempotency-key"), "{headers}");
    let answer = world.send(deploy.delivery("k").gateway(1).header("origin", "http://localhost:3000")).await;
    assert_eq!((answer.status, answer.header(allow)), (202, Some("http://localhost:3000")));
    assert!(answer.header("access-control-expose-headers").expect("headers").contains("location"));
    // Refused or not, the page may read it.
    let answer = world.send(deploy.delivery("k").gateway(1).secret("wrong").header("origin", ours)).await;
    assert_eq!((answer.status, answer.header(allow)), (401, Some(ours)));
    // Another's page, a method that is not served, a path that is not there.
    let answer = world.send(preflight("https://other.example.com").gateway(1)).await;
    assert_eq!((answer.status, answer.header(allow), answer.header("vary")), (405, None, Some("origin")));
    assert_eq!(world.send(preflight(ours).gateway(1).header("access-control-request-method", "PUT")).await.status, 405);
    assert_eq!(world.send(preflight(ours).gateway(1).path("/other")).await.status, 404);
    world.end().await;
}
