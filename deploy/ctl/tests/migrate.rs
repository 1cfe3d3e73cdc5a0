use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::database::{Database, Running, Server};

const STEPS: &str = "SELECT version, name FROM refinery_schema_history ORDER BY version";

#[tokio::test]
async fn it_says_what_it_applied_and_then_that_all_is_up_to_date() {
    let database = Database::empty().await;
    let first = database.run(&["migrate"]).ok();
    let steps = database.query(STEPS).await;
    let said: Vec<_> = first.lines().filter_map(|line| line.strip_prefix("applied V")).collect();
    assert_eq!(said.join("\n"), steps);
    assert!(said.len() >= 4, "{first}");
    assert!(first.ends_with(&format!("{} steps applied; the schema is up to date\n", said.len())), "{first}");

    assert_eq!(database.run(&["migrate"]).ok(), "the schema is up to date\n");
    assert_eq!(database.query(STEPS).await, steps);
}

#[tokio::test]
async fn several_at_once_apply_each_step_once() {
    let database = Database::empty().await;
    let running: Vec<Running> = (0..6).map(|_| database.start(&["migrate"], "")).collect();
    let outputs: Vec<String> = running.into_iter().map(|running| running.outcome().ok()).collect();
    let applied = |output: &String| output.lines().filter(|line| line.starts_with("applied ")).count();
    let steps = database.query(STEPS).await.lines().count();
    assert_eq!(outputs.iter().map(applied).sum::<usize>(), steps, "{outputs:?}");
}

/// Roles belong to the whole server, where one database's lock does not keep the other databases away.
#[tokio::test]
async fn several_databases_of_a_new_server_may_migrate_at_once() {
    let server = Arc::new(Server::start().await);
    let mut databases = Vec::new();
    for _ in 0..6 {
        databases.push(Database::empty_on(server.clone()).await);
    }
    let running: Vec<Running> = databases.iter().map(|database| database.start(&["migrate"], "")).collect();
    for running in running {
        running.outcome().ok();
    }
}

#[tokio::test]
async fn it_waits_for_another_one_and_says_so() {
    let database = Database::empty().await;
    let other = database.admin().await;
    // "rlch" and 1.
    other.execute("SELECT pg_advisory_lock(1919705960, 1)", &[]).await.unwrap();
    let running = database.start(&["migrate"], "");
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let deadline = Instant::now() + Duration::from_secs(20);
    while database.query(waiting).await != "1" {
        assert!(Instant::now() < deadline, "nobody waits for the lock");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(database.query("SELECT to_regclass('organizations')").await, "-");
    other.execute("SELECT pg_advisory_unlock_all()", &[]).await.unwrap();
    let outcome = running.outcome();
    assert_eq!(outcome.stderr, "runlatch: another migrate is at work; waiting for it\n");
    assert!(outcome.ok().contains("applied V1 "));
}

#[tokio::test]
async fn a_schema_that_it_does_not_know_is_left_alone() {
    let database = Database::empty().await;
    database.run(&["migrate"]).ok();
    let newer = "INSERT INTO refinery_schema_history VALUES (900, 'later', '2026-01-01T00:00:00Z', '1')";
    database.query(newer).await;
    let error = database.run(&["migrate"]).failed(1);
    assert!(error.contains("step V900 later, which this runlatch does not have: use the newer"), "{error}");

    database.query("DELETE FROM refinery_schema_history WHERE version = 900").await;
    database.query("UPDATE refinery_schema_history SET checksum = '1' WHERE version = 2").await;
    let error = database.run(&["migrate"]).failed(1);
    assert!(error.contains("step V2 catalog_notifications is in the database with another content"), "{error}");
}

#[tokio::test]
async fn only_the_owner_migrates() {
    let database = Database::migrated().await;
    let error = database.run(&["migrate"]).failed(1);
    assert!(error.contains("permission denied") && error.contains("as the database's owner"), "{error}");
}

#[test]
fn a_server_before_15_will_not_do() {
    assert!(!ctl::migrate::supports(140_012));
    assert!(ctl::migrate::supports(150_000));
    assert!(ctl::migrate::supports(180_001));
}
