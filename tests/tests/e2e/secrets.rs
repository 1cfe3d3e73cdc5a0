//! I7: that no secret is logged is checked at the end of every test. Here that check is itself put to the test.

use std::fs::OpenOptions;
use std::io::Write;

use harness::{World, eventually};
use local::Extra;

#[tokio::test]
async fn the_search_for_logged_secrets_finds_them() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    assert_eq!(world.leaks(), Vec::<String>::new());
    let path = world.stack.log_path("worker-1");
    let before = std::fs::metadata(&path).expect("a log").len();
    let mut log = OpenOptions::new().append(true).open(&path).expect("a log");
    for forbidden in [&deploy.secret, world.stack.pepper(), &harness::payload("k")] {
        writeln!(log, "something about {forbidden} in a line").expect("written");
    }
    assert_eq!(world.leaks().len(), 3);
    drop(log);
    OpenOptions::new().write(true).open(&path).expect("a log").set_len(before).expect("cut");
    world.end().await;
}

/// Not even where an operator asks for every line there is.
#[tokio::test]
async fn nothing_is_logged_at_trace() {
    let password = "nats-password-4c1e7a90";
    let loud = |stack: Extra| stack.env("RUNLATCH_LOG", "trace");
    let world = World::with(|builder| builder.gateway(loud(Extra::new())).worker(loud(Extra::new()))).await;
    // This broker asks for none, and so takes any.
    let url = world.stack.nats_url().replace("nats://", &format!("nats://user:{password}@"));
    world.note(password.to_owned());
    world.stack.add_gateway(&Extra::new().env("NATS_URL", &url)).await.expect("starts");
    world.stack.add_worker(&Extra::new().env("NATS_URL", &url)).await.expect("starts");
    let deploy = world.playbook("acme/deploy").await;
    for gateway in 0..2 {
        world.send(deploy.delivery(&format!("k{gateway}")).gateway(gateway)).await.created();
        world.send(deploy.delivery("k").secret("wrong").gateway(gateway)).await.refused(401, "invalid_secret");
        world
            .send(deploy.delivery("k").body("{\"canary\":\"payload-canary-5fd1\"").gateway(gateway))
            .await
            .refused(400, "invalid_body");
    }
    // A dead letter, and errors of all servers.
    world.forget().await;
    world.send(deploy.delivery("k0").query("project=side")).await.created();
    world.settled().await;
    assert_eq!(world.count("dead_letters").await, 1);
    for server in ["redis", "nats", "postgres"] {
        world.stack.kill(server).await.expect("killed");
        eventually("all is well again", async || {
            let key = uuid::Uuid::new_v4().to_string();
            let answer = world.try_send(deploy.delivery(&key)).await.ok()?;
            (answer.status == 202 && !answer.created().deferred).then_some(())
        })
        .await;
    }
    assert!(world.stack.log("worker-2").contains("worker"), "nothing was logged at all");
    world.end().await;
}
