//! Batches that are large enough to be copied: each outcome is what it would be in a small one.

use std::time::{Duration, Instant};

use futures_util::SinkExt;
use local::{Builder, Role, Stack};
use proto::envelope::Encoded;

use crate::world::{WORKER, World, connect_to, until};

/// The worker's, as text.
const COPY: &str = "
    COPY runs (id, organization_id, playbook_id, project_id, template_id, idempotency_key, fingerprint, payload, accepted_at) FROM STDIN";

/// Of Postgres, whose log then says by which statements a batch was inserted.
fn logged() -> Builder {
    Stack::builder().postgres("log_statement", "all").postgres("log_parameter_max_length", "0")
}

/// How often a statement of the worker was executed that holds this.
fn executed(world: &World, what: &str) -> usize {
    let log = std::fs::read_to_string(world.stack.log_path("postgres")).expect("a log");
    log.matches(what).count()
}

async fn batches(world: &World) -> i64 {
    world.count("SELECT count(*) FROM settled_sequences WHERE NOT isempty(sequences)").await
}

/// In messages of 200.
async fn publish(world: &World, deliveries: &[Encoded]) {
    for message in deliveries.chunks(200) {
        world.publish(message).await;
    }
}

fn body(number: usize) -> String {
    format!("{{\"number\": {number}}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_new_ends_as_what_it_is_and_the_rest_are_runs() {
    let world = World::stopped(logged()).await;
    let new = |key: &str, number: usize| world.encoded(key, &body(number));
    let payload = || proto::Payload::parse(b"{}").expect("a payload");
    let [away, gone] = [world.create_project("away").await, world.create_project("gone").await];
    let to = |project, key: &str| world.delivery_of(key, payload(), project).encode();

    // 100 runs, 10 dead letters for a conflict, and 10 for want of a target.
    let known: Vec<_> = (0..100).map(|i| new(&format!("known-{i}"), i)).collect();
    let buried: Vec<_> = (0..10).map(|i| new(&format!("known-{i}"), 5000 + i)).collect();
    let lost: Vec<_> = (0..10).map(|i| to(away, &format!("lost-{i}"))).collect();
    world.database.execute("DELETE FROM projects WHERE id IN ($1, $2)", &[&away.0, &gone.0]).await.expect("deleted");
    publish(&world, &known).await;
    publish(&world, &buried).await;
    publish(&world, &lost).await;
    world.run().await;
    assert_eq!(world.settled().await, (100, 0, 20));
    world.stack.stop(WORKER).await.expect("stopped");
    // Those stay buried although it is back.
    let back = "INSERT INTO projects (id, organization_id, slug, name) VALUES ($1, $2, 'away', 'x')";
    world.database.execute(back, &[&away.0, &world.organization.0]).await.expect("restored");

    let mut batch: Vec<_> = (0..3000).map(|i| new(&format!("new-{i}"), i)).collect();
    // Another of the batch with the same content, with another, and both.
    batch.extend((0..50).map(|i| new(&format!("new-{i}"), i)));
    batch.extend((50..70).map(|i| new(&format!("new-{i}"), 6000 + i)));
    batch.extend((70..80).flat_map(|i| [new(&format!("new-{i}"), 6000 + i), new(&format!("new-{i}"), i)]));
    // What was there before, as it was and otherwise.
    batch.extend(known.iter().cloned());
    batch.extend((20..60).map(|i| new(&format!("known-{i}"), 7000 + i)));
    batch.extend(buried.iter().cloned());
    batch.extend(lost.iter().cloned());
    // Without a target; for the first ten another one follows that has one.
    batch.extend((0..30).map(|i| to(gone, &format!("gone-{i}"))));
    batch.extend((0..10).map(|i| world.encoded(&format!("gone-{i}"), "{}")));
    // Buried with this content, and new with another.
    batch.extend((0..10).map(|i| new(&format!("lost-{i}"), i)));
    let (before, copies) = (batches(&world).await, executed(&world, "COPY runs"));
    publish(&world, &batch).await;
    world.run().await;
    assert_eq!(batches(&world).await, before + 1, "it was one batch");
    assert!(executed(&world, "COPY runs") > copies, "it was not copied");
    assert_eq!(executed(&world, "ROLLBACK TO"), 0, "nothing of it was in vain");

    let created = 3000 + 10 + 10;
    // Of `gone-0` to 9 the first has the fingerprint of the run that the second made.
    let duplicates = 50 + 10 + 100 + 10;
    let dead = 20 + 10 + 40 + 10 + 10 + 20;
    assert_eq!(world.settled().await, (100 + created, duplicates, 20 + dead));
    let rows = "SELECT count(*) FROM runs WHERE fingerprint IS NOT NULL
                AND (payload::text = '{}' OR payload::text = '{\"number\": ' || split_part(idempotency_key, '-', 2) || '}')";
    assert_eq!(world.count(rows).await, 100 + created, "each with its own payload");
    let letters = "SELECT count(*) FROM dead_letters WHERE reason = ";
    assert_eq!(world.count(&format!("{letters}'idempotency_conflict'")).await, 10 + 20 + 10 + 40);
    assert_eq!(world.count(&format!("{letters}'target_not_found'")).await, 10 + 20);
    let both = "SELECT count(*) FROM runs JOIN dead_letters ON identity = uuid_send(runs.id) || runs.fingerprint";
    assert_eq!(world.count(both).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postgres_refuses_fails_alone_among_thousands() {
    let world = World::stopped(logged()).await;
    // Deeper than Postgres' parser can go (54001).
    let deep = format!("{{\"deep\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let text = |i: usize| if i % 1500 == 700 { deep.clone() } else { body(i) };
    let batch: Vec<_> = (0..3000).map(|i| world.encoded(&format!("k-{i}"), &text(i))).collect();
    publish(&world, &batch).await;
    world.run().await;
    assert_eq!(world.settled().await, (2998, 0, 2));
    assert_eq!(batches(&world).await, 1, "all in one transaction");
    assert!(executed(&world, "COPY runs") > 0 && executed(&world, "ROLLBACK TO") > 0, "it was not copied first");
    assert_eq!(world.count("SELECT count(*) FROM runs").await, 2998);
    assert_eq!(world.reasons().await, ["data_refused", "data_refused"]);
    let letters = "SELECT count(*) FROM dead_letters WHERE idempotency_key IN ('k-700', 'k-2200')";
    assert_eq!(world.count(letters).await, 2);
}

/// Another worker was frozen, or cut off, in the midst of a `COPY` of the same deliveries: Postgres would wait for it for
/// ever, and whoever inserts the same for Postgres.
#[tokio::test(flavor = "multi_thread")]
async fn who_falls_silent_in_the_midst_of_a_copy_is_not_waited_for() {
    let world = World::new().await;
    let url = world.stack.database_url(Role::Worker);
    let silent = connect_to(&format!("{url}?application_name=runlatch-worker")).await;
    let ids: Vec<_> = (0..2000).map(|i| world.delivery(&format!("k-{i}"), "{}").run_id.0.to_string()).collect();
    let (o, b, p, t) = (world.organization, world.playbook, world.project, world.template);
    let row = |id: &String| format!("{id}\t{o}\t{b}\t{p}\t{t}\tk\t\\\\x{}\t{{}}\t2026-01-01Z\n", "00".repeat(32));
    let rows: String = ids.iter().map(row).collect();
    let begin = "BEGIN; SET LOCAL statement_timeout = '3s'; SET LOCAL idle_in_transaction_session_timeout = '3s'";
    silent.batch_execute(begin).await.expect("begun");
    let mut sink = Box::pin(silent.copy_in(COPY).await.expect("begun"));
    sink.send(bytes::Bytes::from(rows)).await.expect("sent");
    sink.flush().await.expect("sent");
    let inserted = "SELECT count(*) FROM pg_stat_progress_copy WHERE tuples_processed > 1500";
    until("they are inserted", || async { world.count(inserted).await == 1 }).await;

    let deliveries: Vec<_> = (0..500).map(|i| world.encoded(&format!("k-{i}"), "{}")).collect();
    world.publish(&deliveries).await;
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'transactionid'";
    until("the worker waits for it", || async { world.count(waiting).await > 0 }).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(world.count(inserted).await, 1, "Postgres does end it: then nobody else need do so");
    world.drained().await;
    assert_eq!(world.settled().await, (500, 0, 0));
}

/// It holds no more than its own rows, and nobody can tell what it waits for.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_slow_is_not_taken_for_silent() {
    let world = World::new().await;
    let slow =
        connect_to(&format!("{}?application_name=runlatch-worker", world.stack.database_url(Role::Worker))).await;
    let mut sink = Box::pin(slow.copy_in(COPY).await.expect("begun"));
    let (o, b, p, t) = (world.organization, world.playbook, world.project, world.template);
    let mut rows = 0;
    let until = Instant::now() + Duration::from_secs(14);
    while Instant::now() < until {
        let id = world.delivery(&format!("k-{rows}"), "{}").run_id.0;
        let row = format!("{id}\t{o}\t{b}\t{p}\t{t}\tk-{rows}\t\\\\x{}\t{{}}\t2026-01-01Z\n", "00".repeat(32));
        sink.send(bytes::Bytes::from(row)).await.expect("sent");
        sink.flush().await.expect("sent");
        rows += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(sink.as_mut().finish().await.expect("not ended"), rows);
}

/// By a trigger of the operator's, or a rule.
#[tokio::test(flavor = "multi_thread")]
async fn what_postgres_drops_in_silence_is_not_acked() {
    let world = World::new().await;
    let drop = "CREATE FUNCTION drop_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    RETURN CASE WHEN NEW.idempotency_key = 'k-123' THEN NULL ELSE NEW END;
                END $$;
                CREATE TRIGGER drop_it BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION drop_it()";
    world.database.batch_execute(drop).await.expect("a trigger");
    let deliveries: Vec<_> = (0..200).map(|i| world.encoded(&format!("k-{i}"), "{}")).collect();
    world.publish(&deliveries).await;
    let failed = || async { world.metric(WORKER, "runlatch_worker_commit_failures_total").await > 0.0 };
    until("it notices", failed).await;
    assert_eq!(world.settled().await, (0, 0, 0));
    world.database.batch_execute("DROP TRIGGER drop_it ON runs").await.expect("dropped");
    world.drained().await;
    assert_eq!(world.settled().await, (200, 0, 0));
}
