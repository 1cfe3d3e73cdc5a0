//! What dies comes back, on the same port and data; what was stopped does not.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_nats::jetstream;
use local::{Event, Process, Role, Stack, State};
use nix::sys::signal::Signal;
use tokio_postgres::NoTls;

use crate::{servers, side_by_side::redis, traces::send};

fn seen(stack: &Stack, name: &str) -> Process {
    stack.processes().into_iter().find(|process| process.name == name).expect("the process is known")
}

#[tokio::test]
async fn a_killed_process_is_back_within_a_second_on_its_port() -> Result<()> {
    let stack = servers().start().await?;
    for name in ["postgres", "redis", "nats"] {
        let before = seen(&stack, name);
        let killed = Instant::now();
        let pid = stack.kill(name).await?;
        assert_eq!(Some(pid), before.pid);
        while seen(&stack, name).pid.is_none() {
            assert!(killed.elapsed() < Duration::from_secs(1), "{name} is not back after {:?}", killed.elapsed());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stack.ready(name).await?;
        let after = seen(&stack, name);
        assert_ne!(after.pid, before.pid);
        assert_eq!(after.port, before.port);
        assert!(after.restarts >= 1);
    }
    Ok(())
}

#[tokio::test]
async fn data_on_disk_survives_a_kill_and_what_redis_holds_does_not() -> Result<()> {
    let stack = servers().start().await?;
    let url = stack.database_url(Role::Owner);
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)").await?;
    redis(&stack, "SET held yes").await?;
    let queue = jetstream::new(async_nats::connect(stack.nats_url()).await?);
    queue.create_stream(jetstream::stream::Config { name: "KEPT".to_owned(), ..Default::default() }).await?;
    queue.publish("KEPT", "message".into()).await?.await?;

    for name in ["postgres", "redis", "nats"] {
        stack.kill(name).await?;
        stack.ready(name).await?;
    }

    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    assert_eq!(client.query_one("SELECT n FROM kept", &[]).await?.get::<_, i32>(0), 42);
    assert_eq!(redis(&stack, "GET held").await?, "$-1\r\n");
    let queue = jetstream::new(async_nats::connect(stack.nats_url()).await?);
    assert_eq!(queue.get_stream("KEPT").await?.cached_info().state.messages, 1);
    Ok(())
}

#[tokio::test]
async fn a_process_that_keeps_dying_is_started_later_each_time_and_that_is_said() -> Result<()> {
    let stack = servers().start().await?;
    let mut events = stack.events();
    // It has lived for less than a second yet.
    let mut pid = seen(&stack, "redis").pid.context("it runs")?;
    let mut pauses = vec![];
    while pauses.len() < 4 {
        send(pid, Signal::SIGKILL);
        if let Event::Died { again_in, .. } = events.recv().await? {
            pauses.push(again_in);
        }
        if let Event::Started { pid: new, .. } = events.recv().await? {
            pid = new;
        }
    }
    let pauses: Vec<_> = pauses.into_iter().flatten().collect();
    assert_eq!(pauses, [0, 100, 200, 400]);
    // A kill on demand is not held against it.
    stack.kill("redis").await?;
    assert!(matches!(events.recv().await?, Event::Died { again_in: Some(0), .. }));
    Ok(())
}

#[tokio::test]
async fn what_was_stopped_stays_so_until_it_is_started() -> Result<()> {
    let stack = servers().start().await?;
    // Clients that stay must not keep a server from stopping.
    let (_client, connection) = tokio_postgres::connect(&stack.database_url(Role::Owner), NoTls).await?;
    tokio::spawn(connection);
    for name in ["postgres", "redis", "nats"] {
        let before = seen(&stack, name);
        let status = stack.stop(name).await?;
        assert!(status.code().is_some(), "{name} was to end by itself, not by a signal: {status}");
        assert_eq!(seen(&stack, name).state, State::Stopped);
        stack.check(name).await.expect_err("it is stopped");
        stack.start(name).await?;
        let after = seen(&stack, name);
        assert_eq!((after.port, after.state, after.restarts), (before.port, State::Running, 0));
    }
    stack.halt("redis").await?;
    assert_eq!(seen(&stack, "redis").state, State::Stopped);
    stack.kill("redis").await.expect_err("it is dead already");
    stack.restart("redis").await
}

#[tokio::test]
async fn nothing_is_started_again_where_that_is_not_wanted() -> Result<()> {
    let stack = servers().restart(false).start().await?;
    stack.kill("redis").await?;
    let error = stack.ready("redis").await.expect_err("it is dead");
    assert!(error.to_string().contains("SIGKILL"), "{error}");
    assert_eq!(seen(&stack, "redis").state, State::Stopped);
    Ok(())
}

#[tokio::test]
async fn a_frozen_process_answers_nothing_and_a_thawed_one_goes_on() -> Result<()> {
    let stack = servers().start().await?;
    let pid = seen(&stack, "redis").pid;
    stack.freeze("redis").await?;
    stack.check("redis").await.expect_err("it is frozen");
    stack.thaw("redis").await?;
    stack.ready("redis").await?;
    assert_eq!(seen(&stack, "redis").pid, pid);
    Ok(())
}

#[tokio::test]
async fn a_process_that_cannot_start_is_reported_with_its_log() {
    let error = servers().nats("no_such_setting: {").start().await.err().expect("NATS refuses this");
    let error = error.to_string();
    assert!(error.contains("nats ended (exit status: 1) before it was ready"), "{error}");
    assert!(error.contains("Parse error"), "the log says why: {error}");
}

#[test]
fn a_stack_outlives_the_runtime_that_started_it() -> Result<()> {
    let stack = tokio::runtime::Runtime::new()?.block_on(servers().start())?;
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    other.block_on(async {
        stack.kill("redis").await?;
        stack.ready("redis").await
    })
}
