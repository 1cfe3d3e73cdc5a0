//! The processes: their start, their end, and what they tell their operators.

use harness::raw::Raw;
use harness::{World, eventually};
use local::Extra;

/// Stopped by SIGTERM, a gateway is unready at once, takes no new connection, and answers what is in flight.
#[tokio::test]
async fn a_gateway_stops_gracefully() {
    let world = World::with(|builder| builder.gateways(2)).await;
    let deploy = world.playbook("acme/deploy").await;
    let body = r#"{"slow":true}"#;
    let mut slow = Raw::connect(&world.stack.url()).await;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nx-webhook-secret: {}\r\nx-idempotency-key: k\r\ncontent-length: {}\r\n\r\n",
        deploy.path,
        deploy.secret,
        body.len()
    );
    slow.send(head).await;
    slow.send(&body[..5]).await;
    eventually("it is in flight", async || {
        (world.metric("gateway-1", "runlatch_gateway_in_flight").await == Some(1.0)).then_some(())
    })
    .await;

    let stopping = world.stack.stop("gateway-1");
    let watching = async {
        eventually("it is unready", async || {
            let (status, text) = world.ops("gateway-1", "/readyz").await;
            (status == 503 && text.contains("stopping")).then_some(())
        })
        .await;
        eventually("it takes no connection", async || {
            let address = world.stack.url().trim_start_matches("http://").to_owned();
            tokio::net::TcpStream::connect(address).await.is_err().then_some(())
        })
        .await;
        slow.send(&body[5..]).await;
        let answer = slow.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 202 ") && answer.contains("connection: close"), "{answer}");
    };
    let (status, ()) = tokio::join!(stopping, watching);
    assert!(status.expect("it stops").success());
    // The other one knows the key.
    world.send(deploy.delivery("k").gateway(1).body(body)).await.replayed();
    world.only_run().await;
    world.end().await;
}

/// In the middle of a burst, a worker that is told to stop leaves nothing half done, and another takes over.
#[tokio::test]
async fn workers_come_and_go() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    for round in 0..5 {
        let sends = (0..200).map(|index| world.send(deploy.delivery(&format!("{round}-{index}"))));
        let (answers, status) = tokio::join!(futures_util::future::join_all(sends), world.stack.stop("worker-1"));
        assert!(answers.iter().all(|answer| answer.status == 202));
        assert!(status.expect("it stops").success());
        world.stack.start("worker-1").await.expect("starts");
    }
    world.settled().await;
    assert_eq!(world.count("runs").await, 1000);
    world.end().await;
}

#[tokio::test]
async fn operators_are_told() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let created = world.send(deploy.delivery("k")).await.created();
    // Or the retry is helped.
    world.marked(created.run).await;
    world.send(deploy.delivery("k")).await.replayed();
    world.send(deploy.delivery("k").path("/")).await.refused(404, "not_found");
    world.settled().await;
    for process in ["gateway-1", "worker-1"] {
        assert_eq!(world.ops(process, "/healthz").await.0, 200);
        assert_eq!(world.ops(process, "/readyz").await, (200, "ready\n".to_owned()));
        assert_eq!(world.ops(process, "/other").await.0, 404);
    }
    let gateway = |name: &str| format!("runlatch_gateway_{name}");
    for (name, value) in [
        ("deliveries_total{outcome=\"created\"}", 1.0),
        ("deliveries_total{outcome=\"replayed\"}", 1.0),
        ("deliveries_total{outcome=\"not_found\"}", 1.0),
        ("step_seconds_count{step=\"claim\"}", 2.0),
        ("step_seconds_count{step=\"publish\"}", 1.0),
        ("in_flight", 0.0),
        ("redis_breaker{state=\"closed\"}", 1.0),
        ("queue_messages", 0.0),
    ] {
        eventually(name, async || (world.metric("gateway-1", &gateway(name)).await == Some(value)).then_some(())).await;
    }
    assert!(world.metric("gateway-1", "runlatch_gateway_catalog_age_seconds").await.expect("an age") < 5.0);
    for (name, value) in [
        ("runlatch_worker_deliveries_total{outcome=\"created\"}", 1.0),
        ("runlatch_worker_batch_deliveries_count", 1.0),
        ("runlatch_worker_commit_seconds_count", 1.0),
        ("runlatch_worker_redeliveries_total", 0.0),
    ] {
        assert_eq!(world.metric("worker-1", name).await, Some(value), "{name}");
    }

    // What the README has operators watch is there, by the name that it has there, before it is needed.
    for (process, prefix) in [("gateway-1", "runlatch_gateway_"), ("worker-1", "runlatch_worker_")] {
        let (_, text) = world.ops(process, "/metrics").await;
        let words = include_str!("../../../README.md").split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let names: Vec<_> = words.filter(|word| word.starts_with(prefix)).collect();
        assert!(names.len() >= 2, "{names:?}");
        for name in names {
            let mut series = text.lines().filter_map(|line| line.split(['{', ' ']).next());
            assert!(series.any(|series| series == name), "{name}");
        }
    }

    // Each says what it misses. Redis is an accelerator: without it a gateway is degraded, not unready.
    for (server, gateway, worker) in [("redis", 200, 200), ("nats", 503, 503)] {
        world.stack.halt(server).await.expect("halts");
        for (process, status) in [("gateway-1", gateway), ("worker-1", worker)] {
            eventually(&format!("{process} without {server} is {status}"), async || {
                let (code, text) = world.ops(process, "/readyz").await;
                let named = text.contains(server) || process == "worker-1" && server == "redis";
                (code == status && named).then_some(())
            })
            .await;
        }
        world.stack.start(server).await.expect("starts");
        world.stack.ready("gateway-1").await.expect("recovers");
        world.stack.ready("worker-1").await.expect("recovers");
    }
    world.stack.halt("postgres").await.expect("halts");
    eventually("the worker misses postgres", async || {
        let (code, text) = world.ops("worker-1", "/readyz").await;
        (code == 503 && text.contains("postgres")).then_some(())
    })
    .await;
    assert_eq!(world.ops("gateway-1", "/readyz").await.0, 200);
    world.stack.start("postgres").await.expect("starts");
    world.stack.ready("worker-1").await.expect("recovers");
    world.end().await;
}

/// A start that cannot work ends with 64 and one line that says why, and never with a secret.
#[tokio::test]
async fn bad_configuration() {
    let world = World::with(|builder| builder.gateways(0).restart(false).nats("max_payload: 65536")).await;
    for (name, value, said) in [
        ("RUNLATCH_MAX_BODY_BYTES", "524288", "max_payload is 65536"),
        ("RUNLATCH_MAX_BODY_BYTES", "many", "--max-body-bytes"),
        ("RUNLATCH_MAX_IN_FLIGHT", "18446744073709551615", "--max-in-flight"),
        ("RUNLATCH_MAX_CONNECTIONS", "0", "--max-connections"),
        ("DATABASE_URL", "", "DATABASE_URL"),
        ("RUNLATCH_PEPPER_FILE", "/nowhere", "--pepper-file"),
        ("RUNLATCH_PEPPER", "", "RUNLATCH_PEPPER is required"),
        ("RUNLATCH_LOG", "gateway=loud", "--log"),
        ("RUNLATCH_PEPPER", "hunter2-hunter2-hunter2-hunter2", "RUNLATCH_PEPPER"),
        ("DATABASE_URL", "postgres://user:hunter2@[", "DATABASE_URL"),
        ("REDIS_URL", "http://user:hunter2@host", "REDIS_URL"),
        ("NATS_URL", "nats://user:hunter2@[", "NATS_URL"),
        ("RUNLATCH_LISTEN", "everywhere", "--listen"),
        ("RUNLATCH_OPS_LISTEN", "192.0.2.1:1", "--ops-listen"),
        ("RUNLATCH_BODY_TIMEOUT", "soon", "--body-timeout"),
        ("RUNLATCH_CLAIM_WINDOW", "10ms", "--claim-window"),
    ] {
        let extra = Extra::new().env(name, value);
        let error = world.stack.add_gateway(&extra).await.expect_err("it must not start").to_string();
        let (how, log) = error.split_once("its log:").expect("a log");
        assert!(how.contains("exit status: 64"), "{name}={value}: {error}");
        let line = log.lines().last().expect("a line");
        assert!(line.contains(said) && !log.contains("hunter2"), "{name}={value}: {error}");
    }
    world.end().await;
}

/// The deadline holds, whoever is in the way: a caller within a request's head, and a broker that does not answer.
#[tokio::test]
async fn a_gateway_stops_in_time() {
    // The broker would be waited for a good deal longer than that.
    let deadline = Extra::new().env("RUNLATCH_SHUTDOWN_DEADLINE", "3s").env("RUNLATCH_PUBLISH_TIMEOUT", "30s");
    let world = World::with(|builder| builder.gateway(deadline)).await;
    let deploy = world.playbook("acme/deploy").await;
    let mut partial = Raw::connect(&world.stack.url()).await;
    partial.send("POST /api HTTP/1.1\r\nhost").await;
    world.stack.freeze("nats").await.expect("freezes");
    let sending = world.try_send(deploy.delivery("k"));
    let stopping = async {
        eventually("it is in flight", async || {
            (world.metric("gateway-1", "runlatch_gateway_in_flight").await == Some(1.0)).then_some(())
        })
        .await;
        let began = std::time::Instant::now();
        let status = world.stack.stop("gateway-1").await.expect("it stops");
        assert!(status.success());
        began.elapsed()
    };
    let (_, took) = tokio::join!(sending, stopping);
    assert!(took < std::time::Duration::from_secs(6), "{took:?}");
    world.stack.thaw("nats").await.expect("thaws");
    // Unanswered, it may be sent again (I6).
    world.stack.start("gateway-1").await.expect("starts");
    let answer = world.send(deploy.delivery("k")).await;
    assert!(matches!(answer.status, 200 | 202), "{answer:?}");
    world.only_run().await;
    world.end().await;
}

/// A catalog that is older than allowed is not relied on.
#[tokio::test]
async fn an_old_catalog() {
    let world = World::with(|builder| builder.gateway(Extra::new().env("RUNLATCH_MAX_CATALOG_AGE", "3s"))).await;
    let deploy = world.playbook("acme/deploy").await;
    world.send(deploy.delivery("k")).await.created();
    world.stack.halt("postgres").await.expect("halts");
    eventually("it is too old", async || (world.send(deploy.delivery("k")).await.status == 503).then_some(())).await;
    world.send(deploy.delivery("k")).await.refused(503, "unavailable");
    assert_eq!(world.ops("gateway-1", "/readyz").await.0, 503);
    world.stack.start("postgres").await.expect("starts");
    eventually("it is current", async || (world.send(deploy.delivery("k")).await.status == 200).then_some(())).await;
    world.end().await;
}
