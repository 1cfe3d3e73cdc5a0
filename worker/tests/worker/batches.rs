//! What becomes of the deliveries of one batch.

use local::{Extra, Stack};

use crate::world::{WORKER, World, until};

async fn stopped() -> World {
    World::stopped(Stack::builder()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_delivery_and_a_message_of_256_are_created_alike_byte_for_byte() {
    let world = World::new().await;
    let odd = "{ \"b\" : 1.0,\"a\":1e400, \"b\":\"\\u0000 \u{1F980}\"}";
    world.publish(&[world.encoded("one", odd)]).await;
    let many: Vec<_> = (0..256).map(|i| world.encoded(&format!("k{i}"), &format!("{{\"i\": {i}}}"))).collect();
    world.publish(&many).await;
    world.drained().await;
    assert_eq!(world.settled().await, (257, 0, 0));
    assert_eq!(world.sequences().await, "{[1,3)}");
    let sql = "SELECT count(*) FROM runs WHERE payload::text = '{\"i\": ' || substr(idempotency_key, 2) || '}'";
    assert_eq!(world.count(sql).await, 256);
    let sql = "SELECT count(*) FROM runs WHERE idempotency_key = 'one' AND payload::text = $1";
    assert_eq!(world.count_with(sql, &[&odd]).await, 1);
    let created = world.metric(WORKER, "runlatch_worker_deliveries_total{outcome=\"created\"}").await;
    assert_eq!(created, 257.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_postgres_refuses_does_not_fail_the_other_255() {
    let world = stopped().await;
    // Deeper than Postgres' parser can go (54001). No gateway accepts it; a message can be made by hand.
    let deep = format!("{{\"secret-marker\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let body = |i: usize| if i == 100 { deep.clone() } else { format!("{{\"i\":{i}}}") };
    let bodies: Vec<_> = (0..256).map(body).collect();
    let message: Vec<_> = bodies.iter().enumerate().map(|(i, body)| world.encoded(&format!("k{i}"), body)).collect();
    world.publish(&message).await;
    world.run().await;
    assert_eq!(world.settled().await, (255, 0, 1));
    assert_eq!(world.count("SELECT count(*) FROM runs").await, 255);
    assert_eq!(
        world.count("SELECT count(*) FROM settled_sequences WHERE NOT isempty(sequences)").await,
        1,
        "all in one transaction"
    );
    let row = world.database.query_one("SELECT reason, detail, payload, idempotency_key FROM dead_letters", &[]);
    let row = row.await.expect("one dead letter");
    assert_eq!(row.get::<_, &str>(0), "data_refused");
    assert_eq!(row.get::<_, &str>(1), "PostgreSQL refused the row: SQLSTATE 54001");
    assert_eq!(row.get::<_, &[u8]>(2), deep.as_bytes());
    assert_eq!(row.get::<_, &str>(3), "k100");
    // Once more, alone: it settles as the dead letter that is there.
    world.publish(&message[100..101]).await;
    world.drained().await;
    assert_eq!(world.settled().await, (255, 0, 2));
    assert_eq!(world.reasons().await, ["data_refused"]);
    let log = std::fs::read_to_string(world.stack.log_path(WORKER)).expect("a log");
    assert!(!log.contains("secret-marker"), "a payload is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn within_a_batch_and_across_batches_the_first_of_a_key_wins() {
    let world = stopped().await;
    let (a, b) = (world.encoded("k", r#"{"v":1}"#), world.encoded("k", r#"{"v":2}"#));
    // Five of one key in one batch: created, conflict, duplicate, conflict again, duplicate; one of another key.
    world.publish(&[a.clone(), b.clone(), a.clone()]).await;
    world.publish(&[b.clone(), world.encoded("other", r#"{"v":3}"#)]).await;
    world.publish(std::slice::from_ref(&a)).await;
    world.run().await;
    assert_eq!(world.settled().await, (2, 2, 2));
    assert_eq!(
        world.count("SELECT count(*) FROM settled_sequences WHERE NOT isempty(sequences)").await,
        1,
        "it was one batch"
    );
    // And in another batch.
    world.publish(&[b, a]).await;
    world.drained().await;
    assert_eq!(world.settled().await, (2, 3, 3));
    assert_eq!(world.count(r#"SELECT count(*) FROM runs WHERE payload::text IN ('{"v":1}', '{"v":3}')"#).await, 2);
    assert_eq!(world.count("SELECT count(*) FROM runs").await, 2);
    assert_eq!(world.reasons().await, ["idempotency_conflict"], "the same conflict is one dead letter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_has_gone_is_a_dead_letter_and_stays_one_when_it_comes_back() {
    let world = stopped().await;
    let project = world.create_project("gone").await;
    let payload = proto::Payload::parse(b"{}").expect("a payload");
    let to_gone = world.delivery_of("gone", payload, project).encode();
    world.database.execute("DELETE FROM projects WHERE id = $1", &[&project.0]).await.expect("deleted");
    world.publish(&[to_gone.clone(), world.encoded("here", "{}")]).await;
    world.run().await;
    assert_eq!(world.settled().await, (1, 0, 1));
    assert_eq!(world.reasons().await, ["target_not_found"]);
    let sql = "INSERT INTO projects (id, organization_id, slug, name) VALUES ($1, $2, 'gone', 'x')";
    world.database.execute(sql, &[&project.0, &world.organization.0]).await.expect("restored");
    world.publish(&[to_gone]).await;
    world.drained().await;
    assert_eq!(world.settled().await, (1, 0, 2));
    assert_eq!(world.count("SELECT count(*) FROM runs").await, 1, "only a replay makes a run of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_whose_deletion_is_under_way_is_a_target_that_has_gone() {
    let world = World::new().await;
    let project = world.create_project("going").await;
    let payload = proto::Payload::parse(b"{}").expect("a payload");
    let mut rival = crate::world::connect(&world.stack).await;
    let deletion = rival.transaction().await.expect("a transaction");
    deletion.execute("DELETE FROM projects WHERE id = $1", &[&project.0]).await.expect("deleted");
    // As its COMMIT does first. Whoever looks still sees the project.
    deletion.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await.expect("no run names it");
    world.publish(&[world.delivery_of("going", payload, project).encode()]).await;
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'runlatch-worker' AND wait_event_type = 'Lock'";
    until("the worker waits for the deletion", || async { world.count(waiting).await > 0 }).await;
    deletion.commit().await.expect("committed");
    world.drained().await;
    assert_eq!(world.settled().await, (0, 0, 1));
    assert_eq!(world.reasons().await, ["target_not_found"]);
}

/// A retry can be resolved to another target than the delivery was: of the two messages one has lost its target and the other
/// has not, and they are settled side by side.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_with_two_targets_is_not_a_run_and_a_dead_letter() {
    let world = World::with(Stack::builder().worker(Extra::new().env("RUNLATCH_BATCH_MESSAGES", "1"))).await;
    let mut rival = crate::world::connect(&world.stack).await;
    let project = world.create_project("gone").await;
    world.database.execute("DELETE FROM projects WHERE id = $1", &[&project.0]).await.expect("deleted");
    for (key, runs, first_is_gone) in [("buried-first", 0, true), ("inserted-first", 1, false)] {
        let payload = proto::Payload::parse(b"{}").expect("a payload");
        let messages = [world.delivery_of(key, payload, project).encode(), world.encoded(key, "{}")];
        // Both get as far as to what they write last.
        let lock = rival.transaction().await.expect("a transaction");
        lock.batch_execute("LOCK TABLE settled_sequences IN SHARE MODE").await.expect("locked");
        for waiting in 1..=2 {
            let message = &messages[usize::from((waiting == 1) != first_is_gone)];
            world.publish(std::slice::from_ref(message)).await;
            let sql = "SELECT count(*) FROM pg_stat_activity
                       WHERE application_name = 'runlatch-worker' AND wait_event_type = 'Lock'";
            until("it waits", || async { world.count(sql).await == waiting }).await;
        }
        lock.commit().await.expect("released");
        world.drained().await;
        let count = async |table| {
            let sql = format!("SELECT count(*) FROM {table} WHERE idempotency_key = $1");
            world.count_with(&sql, &[&key]).await
        };
        assert_eq!((count("runs").await, count("dead_letters").await), (runs, 1 - runs), "{key}");
    }
    assert_eq!(world.settled().await, (1, 1, 2));
    assert_eq!(world.metric(WORKER, "runlatch_worker_commit_failures_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_and_workers_with_the_same_deliveries_in_opposite_order_neither_deadlock_nor_double() {
    // Each message a batch, so that those of one round meet in different lanes.
    let one = Extra::new().env("RUNLATCH_BATCH_MESSAGES", "1").env("RUNLATCH_LANES", "3");
    let world = World::with(Stack::builder().workers(2).worker(one)).await;
    let workers = [WORKER, "worker-2"];
    for worker in workers {
        world.stack.stop(worker).await.expect("stopped");
    }
    for round in 0..40 {
        let up: Vec<_> = (0..256).map(|i| world.encoded(&format!("k{round}-{i}"), "{}")).collect();
        let down: Vec<_> = up.iter().rev().cloned().collect();
        for message in [&up, &down, &up, &down] {
            world.publish(message).await;
        }
    }
    tokio::try_join!(world.stack.start(workers[0]), world.stack.start(workers[1])).expect("started");
    world.drained().await;
    assert_eq!(world.count("SELECT count(*) FROM runs").await, 40 * 256);
    assert_eq!(world.settled().await, (40 * 256, 3 * 40 * 256, 0));
    assert_eq!(world.sequences().await, "{[1,161)}");
    for worker in workers {
        assert_eq!(world.metric(worker, "runlatch_worker_commit_failures_total").await, 0.0, "{worker} deadlocked");
        assert_eq!(world.metric(worker, "runlatch_worker_redeliveries_total").await, 0.0);
    }
}
