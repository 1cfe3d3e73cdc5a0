//! Everything is bounded: heads, bodies, time, connections. And a refusal reaches who has not finished sending.

use std::time::{Duration, Instant};

use harness::raw::Raw;
use harness::{World, eventually};
use local::Extra;

#[tokio::test]
async fn heads() {
    let bounds = Extra::new().env("RUNLATCH_HEADER_TIMEOUT", "1s");
    let world = World::with(|builder| builder.gateway(bounds)).await;
    let url = world.stack.url();
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n", "x".repeat(40_000));
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "n: 1\r\n".repeat(65));
    for (bytes, status) in [(long.as_str(), "431"), (many.as_str(), "431"), ("nonsense\r\n\r\n", "400")] {
        let mut raw = Raw::connect(&url).await;
        raw.send(bytes).await;
        let answer = raw.read_to_end().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}");
    }
    // Whoever does not come to an end is cut off: silent from the start, within the head, within HTTP/2's preface,
    // and idle after an answer.
    for start in ["", "P", "PRI * HTTP/2.0\r\n", "POST / HTTP/1.1\r\nhost: x\r\n", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"]
    {
        let mut raw = Raw::connect(&url).await;
        let since = Instant::now();
        assert!(raw.send(start).await);
        raw.read_to_end().await;
        assert!(since.elapsed() >= Duration::from_millis(900), "{start:?} was cut off early");
    }
    world.end().await;
}

/// Where there is no room for one more, who is idle makes way for it, and who is not does not.
#[tokio::test]
async fn connections() {
    let world = World::with(|builder| builder.gateway(Extra::new().env("RUNLATCH_MAX_CONNECTIONS", "3"))).await;
    let deploy = world.playbook("acme/deploy").await;
    let get = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let head = |key: usize| {
        format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nx-webhook-secret: {}\r\nx-idempotency-key: {key}\r\ncontent-length: 2\r\n\r\n{{",
            deploy.path, deploy.secret
        )
    };
    let mut busy = Vec::new();
    for key in 0..3 {
        let mut raw = Raw::connect(&world.stack.url()).await;
        raw.send(head(key)).await;
        busy.push(raw);
        eventually("it is being handled", async || {
            let in_flight = world.metric("gateway-1", "runlatch_gateway_in_flight").await;
            (in_flight == Some((key + 1) as f64)).then_some(())
        })
        .await;
    }
    let mut fourth = Raw::connect(&world.stack.url()).await;
    fourth.send(get).await;
    let answer = tokio::spawn(async move { fourth.answer().await });
    // Beyond the second that an idle one is given.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!answer.is_finished(), "the fourth was let in");
    for raw in &mut busy {
        raw.send("}").await;
        assert!(raw.answer().await.starts_with("HTTP/1.1 202 "));
    }
    // None of the three leaves by itself.
    assert!(answer.await.expect("an answer").starts_with("HTTP/1.1 404 "));
    assert_eq!(busy[0].read_to_end().await, "", "the one that was idle the longest makes way");
    busy[2].send(get).await;
    assert!(busy[2].answer().await.starts_with("HTTP/1.1 404 "), "one made way, and no more than one");
    world.end().await;
}

/// Who is refused and goes on sending holds a place; who comes when there is none is not waited for.
#[tokio::test]
async fn drains() {
    let world = World::with(|builder| builder.gateway(Extra::new().env("RUNLATCH_MAX_IN_FLIGHT", "1"))).await;
    let deploy = world.playbook("acme/deploy").await;
    let url = world.stack.url();
    let head = format!("POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n", deploy.path);
    eventually("the second is answered before the first", async || {
        let mut raws = [Raw::connect(&url).await, Raw::connect(&url).await];
        for raw in &mut raws {
            raw.send(&head).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let [first, second] = &mut raws;
        tokio::select! {
            biased;
            answer = first.answer() => assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}"),
            answer = second.answer() => {
                assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("connection: close"), "{answer}");
                return Some(());
            }
        }
        None
    })
    .await;
    world.end().await;
}

/// The answer arrives although its body never did, or was not wanted.
#[tokio::test]
async fn refusals_reach_their_callers() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let url = world.stack.url();
    let head = |secret: &str, length: usize, more: &str| {
        format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nx-webhook-secret: {secret}\r\nx-idempotency-key: k\r\ncontent-length: {length}\r\n{more}\r\n",
            deploy.path
        )
    };
    // A body that is small, and there: read and dropped, and the connection goes on.
    let mut raw = Raw::connect(&url).await;
    for _ in 0..3 {
        raw.send(head("wrong", 2, "") + "{}").await;
        let answer = raw.answer().await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && !answer.contains("connection: close"), "{answer}");
    }
    // The same where its length was not announced.
    let chunked = head("wrong", 0, "transfer-encoding: chunked\r\n").replace("content-length: 0\r\n", "");
    for _ in 0..2 {
        raw.send(chunked.clone() + "2\r\n{}\r\n0\r\n\r\n").await;
        let answer = raw.answer().await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && !answer.contains("connection: close"), "{answer}");
    }
    // One that is large, and on its way: answered before it is all sent, and the answer survives the close.
    for (secret, length, status) in [("wrong", 200 * 1024, "401"), (deploy.secret.as_str(), 700 * 1024, "413")] {
        let mut raw = Raw::connect(&url).await;
        raw.send(head(secret, length, "")).await;
        raw.send(vec![b'x'; 150 * 1024]).await;
        let answer = raw.answer().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains("connection: close"), "{answer}");
        // Closed, not reset, which would take with it an answer that is still on its way: for a second more is read.
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(100) {
            assert!(raw.send("x").await, "{status}: reset after {:?}", since.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    // One that is announced and never comes: refused within the time that is spent on draining.
    let mut raw = Raw::connect(&url).await;
    raw.send(head("wrong", 1000, "")).await;
    assert!(raw.answer().await.starts_with("HTTP/1.1 401 "));
    // Who asks first is not made to send.
    let mut raw = Raw::connect(&url).await;
    raw.send(head("wrong", 1000, "expect: 100-continue\r\n")).await;
    assert!(raw.answer().await.starts_with("HTTP/1.1 401 "));
    let mut raw = Raw::connect(&url).await;
    raw.send(head(&deploy.secret, 2, "expect: 100-continue\r\n")).await;
    assert_eq!(raw.read_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    raw.send("{}").await;
    assert!(raw.answer().await.starts_with("HTTP/1.1 202 "));
    // A body cut off is no delivery, even where what has come could be one.
    let mut raw = Raw::connect(&url).await;
    let chunked = head(&deploy.secret, 0, "transfer-encoding: chunked\r\n").replace("content-length: 0\r\n", "");
    raw.send(chunked.replace("key: k", "key: cut") + "2\r\n{}\r\nzz\r\n").await;
    assert!(raw.answer().await.starts_with("HTTP/1.1 400 "));
    assert!(!world.claimed("cut").await);
    assert_eq!(world.only_run().await.key, "k");
    world.end().await;
}

/// The same contract over HTTP/2 with prior knowledge, many requests on one connection.
#[tokio::test]
async fn http2() {
    let mut world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    world.http = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
    let created = world.send(deploy.delivery("k")).await.created();
    let answers = futures_util::future::join_all((0..100).map(|_| world.send(deploy.delivery("k")))).await;
    assert!(answers.iter().all(|answer| answer.replayed() == created));
    world.send(deploy.delivery("k").secret("wrong").body(vec![b'x'; 300_000])).await.refused(401, "invalid_secret");
    world.send(deploy.delivery("k").body(vec![b'x'; 600_000])).await.refused(413, "payload_too_large");
    world.send(deploy.delivery("k").method("DELETE")).await.refused(405, "method_not_allowed");
    let head = world.send(deploy.delivery("k").method("HEAD")).await;
    assert_eq!((head.status, head.text.as_str()), (405, ""));
    assert_eq!(world.only_run().await.id, created.run);
    world.end().await;
}

/// Who asks and never reads the answers is cut off, like who says nothing.
#[tokio::test]
async fn who_never_reads() {
    let world = World::with(|builder| builder.gateway(Extra::new().env("RUNLATCH_HEADER_TIMEOUT", "1s"))).await;
    let mut raw = Raw::connect(&world.stack.url()).await;
    let many = "GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000);
    let full = async { while raw.send(&many).await {} };
    // Until neither side's buffers take any more, or the gateway has had enough.
    _ = tokio::time::timeout(Duration::from_secs(3), full).await;
    eventually("it is cut off", async || {
        // The connection that asks is one of the operators'.
        (world.metric("gateway-1", "runlatch_gateway_connections").await == Some(0.0)).then_some(())
    })
    .await;
    world.end().await;
}
