//! What comes between: workers, others who see to the same, a kill, a hang, and a server that goes.

use std::time::{Duration, Instant};

use proto::{Selector, dead_letter::Reason};

use super::{OPEN, RUNS, catalog, target};
use crate::{
    database::{Database, connect},
    letters::{Playbook, bury, bury_message, ending, insert_run, json, message, payload},
};

/// Killed in the midst of it, raced by a worker, or done by several at once: one run, and the letter closed with it.
#[tokio::test]
async fn it_may_be_killed_and_raced() {
    let database = catalog().await;
    let playbook = Playbook::of(&database, "acme").await;
    let text = payload("one");
    let delivery = playbook.delivery("k", Selector::default(), &text);
    let id = bury(&database, Reason::TargetNotFound, &delivery).await;
    let replay = ["dead-letters", "replay", id.as_str()];
    let admin = database.admin().await;
    let rival = connect(&database.login("runlatch_worker").await).await;
    // Killed when it has locked the letter and is about to make the run, because a worker is just inserting the same; and when
    // it has made the run and is about to close the letter.
    for (client, blocker) in [(&rival, "BEGIN"), (&admin, "BEGIN; LOCK TABLE dead_letters IN SHARE MODE")] {
        client.batch_execute(blocker).await.unwrap();
        if std::ptr::eq(client, &rival) {
            insert_run(&rival, &delivery).await;
        }
        let killed = database.start(&replay, "");
        waiting(&database, "1").await;
        killed.kill();
        client.batch_execute("ROLLBACK").await.unwrap();
        waiting(&database, "0").await;
        assert_eq!((database.query(RUNS).await, database.query(OPEN).await), (String::new(), "1".to_owned()));
    }

    // The replay has to wait for what comes of the worker's.
    rival.batch_execute("BEGIN").await.unwrap();
    insert_run(&rival, &delivery).await;
    let several: Vec<_> = (0..4).map(|_| database.start(&[&replay[..], &["--json"]].concat(), "")).collect();
    waiting(&database, "4").await;
    rival.batch_execute("COMMIT").await.unwrap();
    let told: Vec<String> = several.into_iter().map(|running| running.outcome().ok()).collect();
    assert_eq!(told.iter().filter(|line| line.contains(r#""ending":"replayed""#)).count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|line| line.contains(r#""ending":"replayed_before""#)).count(), 3, "{told:?}");
    assert!(told.iter().all(|line| line.contains(&delivery.run_id.to_string())));
    assert_eq!(database.query(RUNS).await, format!("k {text}"));
    assert_eq!(database.query("SELECT replayed_runs FROM dead_letters").await, "0", "the worker made it");
}

/// A worker inserts the runs of its batch by their ids, and keeps them until it commits. So does a replay, or the two would
/// wait for each other.
#[tokio::test]
async fn it_never_waits_in_a_circle() {
    let database = catalog().await;
    let playbook = Playbook::of(&database, "acme").await;
    let text = payload("one");
    let mut all = ["a", "b", "c"].map(|key| playbook.delivery(key, Selector::default(), &text));
    all.sort_by_key(|delivery| std::cmp::Reverse(delivery.run_id));
    let [highest, _, lowest] = &all;
    let id = bury_message(&database, Reason::PoisonMessage, &message(&all)).await;
    let rival = connect(&database.login("runlatch_worker").await).await;
    rival.batch_execute("BEGIN").await.unwrap();
    insert_run(&rival, lowest).await;
    let replay = database.start(&["dead-letters", "replay", &id], "");
    waiting(&database, "1").await;
    insert_run(&rival, highest).await;
    rival.batch_execute("COMMIT").await.unwrap();
    let told = replay.outcome().ok();
    assert!(told.contains("3 deliveries: 1 runs made, 2 there already, 0 with"), "{told}");
    assert_eq!(database.query("SELECT count(*) FROM runs").await, "3");
}

/// What has no target in the message may have one in another, of which a worker is just making a run.
#[tokio::test]
async fn it_buries_nothing_that_a_worker_makes_a_run_of() {
    let database = catalog().await;
    let playbook = Playbook::of(&database, "acme").await;
    let text = payload("one");
    let made = playbook.delivery("k", target("nowhere"), &text);
    let mut gone = playbook.delivery("k", target("nowhere"), &text);
    gone.project_id.0 = uuid::Uuid::new_v4();
    let id = bury_message(&database, Reason::PoisonMessage, &message(&[gone])).await;
    let rival = connect(&database.login("runlatch_worker").await).await;
    let (first, second) = proto::dead_letter::LOCK;
    let share = format!("BEGIN; SELECT pg_advisory_xact_lock_shared({first}, {second})");
    rival.batch_execute(&share).await.unwrap();
    insert_run(&rival, &made).await;
    let replay = database.start(&["dead-letters", "replay", &id], "");
    waiting(&database, "1").await;
    rival.batch_execute("COMMIT").await.unwrap();
    let told = replay.outcome().ok();
    assert!(told.contains("which was there already"), "{told}");
    assert_eq!(database.query("SELECT count(*) FROM dead_letters").await, "1");
}

/// A replay that does not go on while it has runs locked would in the end stop all workers.
#[tokio::test]
async fn one_that_hangs_lets_go() {
    let database = catalog().await;
    let playbook = Playbook::of(&database, "acme").await;
    let text = payload("one");
    let mut both = ["a", "b"].map(|key| playbook.delivery(key, Selector::default(), &text));
    both.sort_by_key(|delivery| delivery.run_id);
    let [first, second] = &both;
    let id = bury_message(&database, Reason::PoisonMessage, &message(&both)).await;
    let rival = connect(&database.login("runlatch_worker").await).await;
    rival.batch_execute("BEGIN").await.unwrap();
    insert_run(&rival, second).await;
    // It has inserted the first.
    let replay = database.start(&["dead-letters", "replay", &id], "");
    waiting(&database, "1").await;
    replay.freeze();
    rival.batch_execute("COMMIT").await.unwrap();
    // As long as a worker's statement may take.
    rival.batch_execute("SET statement_timeout = '30s'").await.unwrap();
    insert_run(&rival, first).await;
    replay.kill();
    assert_eq!(database.query(OPEN).await, "1");

    // Nor does it keep them while it waits for what another has locked and does not let go.
    database.query("TRUNCATE runs").await;
    rival.batch_execute("BEGIN").await.unwrap();
    insert_run(&rival, second).await;
    let (code, lines) = json(&database, &["replay", &id]);
    assert_eq!((code, &lines[0]["ending"]), (1, &"unchanged".into()), "{lines:?}");
    assert!(lines[0]["detail"].as_str().unwrap().ends_with("somebody else is at work on it: try again"), "{lines:?}");
    rival.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(ending(&database, &["replay", &id]).0, 0);
}

/// One that cannot be done keeps none of the others back; a server that is gone does, and that is told apart.
#[tokio::test]
async fn each_is_tried_until_the_server_goes() {
    let database = catalog().await;
    let playbook = Playbook::of(&database, "acme").await;
    let text = payload("one");
    let mut ids = vec!["00000000-0000-4000-8000-000000000000".to_owned()];
    for key in ["altered", "good", "blocked", "after"] {
        let delivery = playbook.delivery(key, Selector::default(), &text);
        ids.push(bury(&database, Reason::TargetNotFound, &delivery).await);
    }
    let [unknown, altered, good, blocked, after] = ids.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
        panic!("five")
    };
    database.query(&format!("UPDATE dead_letters SET project_slug = 'No slug' WHERE id = '{altered}'")).await;

    let told = database.run(&["dead-letters", "replay", unknown, altered, good]);
    assert_eq!((told.code, told.stderr.as_str()), (1, "runlatch: 2 of 3 could not be done\n"), "{told:?}");
    let lines: Vec<&str> = told.stdout.lines().collect();
    assert!(lines[0].contains("left as it is: there is no dead letter"), "{lines:?}");
    assert!(lines[1].contains("left as it is: ") && lines[1].contains("altered by hand?"), "{lines:?}");
    assert!(lines[2].contains("replayed: run "), "{lines:?}");
    let told = database.run(&["dead-letters", "discard", unknown, good, "--yes"]);
    assert_eq!((told.code, told.stderr.as_str()), (1, "runlatch: 2 of 2 could not be done\n"), "{told:?}");
    let all = database.run(&["dead-letters", "replay", "--all", "--reason", "target_not_found", "--limit", "1"]);
    assert!(all.code == 1 && all.stderr.contains("to get at those behind them"), "{all:?}");

    let admin = database.admin().await;
    admin.batch_execute("BEGIN").await.unwrap();
    admin.execute("SELECT FROM dead_letters WHERE idempotency_key = 'blocked' FOR UPDATE", &[]).await.unwrap();
    let replay = database.start(&["dead-letters", "replay", good, blocked, after], "");
    waiting(&database, "1").await;
    database.query("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted").await;
    let told = replay.outcome();
    assert_eq!((told.code, told.stdout.lines().count()), (69, 1), "{told:?}");
    assert!(told.stderr.contains("; 1 were seen to, and 0 of them could not be done"), "{told:?}");
    admin.batch_execute("ROLLBACK").await.unwrap();
    database.run(&["dead-letters", "replay", good, blocked, after]).ok();
}

/// Until so many sessions wait for a lock.
async fn waiting(database: &Database, count: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while database.query("SELECT count(*) FROM pg_locks WHERE NOT granted").await != count {
        assert!(Instant::now() < deadline, "not {count} waiting");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
