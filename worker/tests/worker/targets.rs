//! What a run names stays in the catalog, although no foreign key of `runs` says so.

use std::time::{Duration, Instant};

use local::{Role, Stack};
use tokio_postgres::error::SqlState;

use crate::world::{WORKER, World, connect, connect_to, until};

const WAITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'advisory'";

/// With a run whose playbook, project and template nothing else names: slugs `b`, `side` and `side`.
async fn world() -> World {
    let world = World::new().await;
    let project = world.create_project("side").await;
    let template = uuid::Uuid::new_v4();
    let sql = "INSERT INTO templates (id, organization_id, slug, name) VALUES ($1, $2, 'side', 'x')";
    world.database.execute(sql, &[&template, &world.organization.0]).await.expect("a template");
    let payload = proto::Payload::parse(b"{}").expect("a payload");
    let mut delivery = world.delivery_of("k", payload, project);
    delivery.template_id = proto::TemplateId(template);
    world.publish(&[delivery.encode()]).await;
    world.drained().await;
    assert_eq!(world.settled().await, (1, 0, 0));
    world
}

async fn refused(client: &tokio_postgres::Client, sql: &str, state: SqlState) -> String {
    let error = client.batch_execute(sql).await.expect_err(sql);
    let error = error.as_db_error().expect("of Postgres");
    assert_eq!(*error.code(), state, "{sql}: {error}");
    error.message().to_owned()
}

const USED: [&str; 12] = [
    "DELETE FROM playbooks WHERE slug = 'b'",
    "DELETE FROM projects WHERE slug = 'side'",
    "DELETE FROM templates WHERE slug = 'side'",
    "UPDATE playbooks SET id = gen_random_uuid() WHERE slug = 'b'",
    "UPDATE projects SET id = gen_random_uuid() WHERE slug = 'side'",
    "UPDATE templates SET id = gen_random_uuid() WHERE slug = 'side'",
    "UPDATE playbooks SET organization_id = o.id, project_id = p.id, template_id = t.id FROM organizations AS o, projects AS p, templates AS t
     WHERE o.slug = 'other' AND p.organization_id = o.id AND t.organization_id = o.id AND playbooks.slug = 'b'",
    "UPDATE projects SET organization_id = o.id FROM organizations AS o WHERE o.slug = 'other' AND projects.slug = 'side'",
    "UPDATE templates SET organization_id = o.id FROM organizations AS o WHERE o.slug = 'other' AND templates.slug = 'side'",
    "TRUNCATE playbooks CASCADE",
    "TRUNCATE projects CASCADE",
    "TRUNCATE templates CASCADE",
];

#[tokio::test(flavor = "multi_thread")]
async fn it_can_neither_be_deleted_nor_be_another_nor_be_truncated() {
    let world = world().await;
    let other = "WITH o AS (INSERT INTO organizations (slug, name) VALUES ('other', 'x') RETURNING id),
                      p AS (INSERT INTO projects (organization_id, slug, name) SELECT id, 'p', 'x' FROM o)
                 INSERT INTO templates (organization_id, slug, name) SELECT id, 't', 'x' FROM o";
    world.database.batch_execute(other).await.expect("another organization");
    for sql in USED {
        for isolation in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
            let sql = format!("BEGIN ISOLATION LEVEL {isolation}; {sql}; COMMIT");
            let message = refused(&world.database, &sql, SqlState::FOREIGN_KEY_VIOLATION).await;
            assert!(message.starts_with("runs name "), "{message}");
            world.database.batch_execute("ROLLBACK").await.expect("rolled back");
        }
    }
    // What says nothing of its identity may change.
    for table in ["playbooks", "projects", "templates"] {
        let sql = format!("UPDATE {table} SET id = id, name = 'renamed', slug = 'renamed' WHERE slug IN ('b', 'side')");
        world.database.batch_execute(&sql).await.expect("renamed");
    }
    // And with the run it may all go, at once even.
    world.database.batch_execute("TRUNCATE runs, playbooks, projects, templates CASCADE").await.expect("truncated");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_run_names_may_go_and_when_the_run_is_gone_all_may() {
    let world = world().await;
    world.create_project("unused").await;
    let unused = "DELETE FROM projects WHERE slug = 'unused'";
    // It would look into an old snapshot.
    let old = format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {unused}; COMMIT");
    refused(&world.database, &old, SqlState::INVALID_TRANSACTION_STATE).await;
    world.database.batch_execute("ROLLBACK").await.expect("rolled back");
    assert_eq!(world.database.execute(unused, &[]).await.expect("deleted"), 1);
    world.database.batch_execute("DELETE FROM runs").await.expect("deleted");
    for sql in &USED[..3] {
        assert_eq!(world.database.execute(*sql, &[]).await.expect("deleted"), 1, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_delete_need_not_see_the_runs_and_cannot_hide_them() {
    let world = world().await;
    let role = "CREATE ROLE janitor LOGIN PASSWORD 'x'; GRANT SELECT, DELETE ON projects TO janitor;
                GRANT TEMPORARY ON DATABASE runlatch TO janitor; GRANT pg_read_all_settings TO janitor";
    world.database.batch_execute(role).await.expect("a role");
    let (_, address) = world
        .stack
        .database_url(Role::Superuser)
        .split_once('@')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("a URL");
    let janitor = connect_to(&format!("postgres://janitor:x@{address}")).await;
    janitor
        .batch_execute("CREATE TEMPORARY TABLE runs (LIKE projects); SET search_path = pg_temp, public")
        .await
        .expect("hidden");
    refused(&janitor, "DELETE FROM projects WHERE slug = 'side'", SqlState::FOREIGN_KEY_VIOLATION).await;
    world.create_project("unused").await;
    assert_eq!(janitor.execute("DELETE FROM projects WHERE slug = 'unused'", &[]).await.expect("deleted"), 1);
}

/// The other order, in which the deletion wins, is among the batches' tests.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_waits_for_the_batch_in_flight_and_is_refused() {
    for deliveries in [1, 200] {
        let world = World::with(Stack::builder()).await;
        let project = world.create_project("side").await;
        let payload = || proto::Payload::parse(b"{}").expect("a payload");
        let mut rival = connect(&world.stack).await;
        let lock = rival.transaction().await.expect("a transaction");
        // The worker has inserted, and waits with the last that it writes.
        lock.batch_execute("LOCK TABLE settled_sequences IN SHARE MODE").await.expect("locked");
        let message: Vec<_> =
            (0..deliveries).map(|i| world.delivery_of(&format!("k{i}"), payload(), project).encode()).collect();
        world.publish(&message).await;
        let in_flight = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'runlatch-worker' AND wait_event = 'relation'";
        until("the batch waits", || async { world.count(in_flight).await > 0 }).await;
        let deletion = async {
            refused(
                &connect(&world.stack).await,
                "DELETE FROM projects WHERE slug = 'side'",
                SqlState::FOREIGN_KEY_VIOLATION,
            )
            .await
        };
        let release = async {
            until("the deletion waits", || async { world.count(WAITING).await > 0 }).await;
            lock.commit().await.expect("released");
        };
        tokio::join!(deletion, release);
        world.drained().await;
        assert_eq!(world.settled().await, (deliveries, 0, 0));
        assert_eq!(world.metric(WORKER, "runlatch_worker_commit_failures_total").await, 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_is_left_open_keeps_nobody_waiting_and_is_refused_at_its_commit() {
    let world = World::new().await;
    let project = world.create_project("side").await;
    let payload = proto::Payload::parse(b"{}").expect("a payload");
    let rival = connect(&world.stack).await;
    for (key, open) in [("deleted", "DELETE FROM projects"), ("changed", "UPDATE projects SET id = gen_random_uuid()")]
    {
        let runs = world.settled().await.0;
        rival.batch_execute(&format!("BEGIN; {open} WHERE slug = 'side'")).await.expect("no run names it yet");
        world.publish(&[world.delivery_of(key, payload, project).encode()]).await;
        world.drained().await;
        assert_eq!(world.settled().await, (runs + 1, 0, 0), "{open}");
        refused(&rival, "COMMIT", SqlState::FOREIGN_KEY_VIOLATION).await;
        world.database.batch_execute("DELETE FROM runs").await.expect("deleted");
    }
}

/// Who waits for the lock alone makes all who share it wait behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_gives_up_rather_than_keep_the_workers_waiting() {
    let world = World::new().await;
    world.create_project("unused").await;
    let (rival, (first, second)) = (connect(&world.stack).await, proto::dead_letter::LOCK);
    let shared = format!("BEGIN; SELECT pg_advisory_xact_lock_shared({first}, {second})");
    rival.batch_execute(&shared).await.expect("shared");
    let began = Instant::now();
    refused(&world.database, "DELETE FROM projects WHERE slug = 'unused'", SqlState::LOCK_NOT_AVAILABLE).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    rival.batch_execute("ROLLBACK").await.expect("released");
    assert_eq!(world.database.execute("DELETE FROM projects WHERE slug = 'unused'", &[]).await.expect("deleted"), 1);
}

/// A batch that is large enough to be copied asks only for targets that it does not remember.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_was_seen_before_is_not_believed_in_when_something_was_lost() {
    let world = World::new().await;
    let payload = proto::Payload::parse(b"{}").expect("a payload");
    for (round, lose) in (1..).zip(["DELETE FROM projects", "UPDATE projects SET id = gen_random_uuid()"]) {
        let project = world.create_project(&format!("side-{round}")).await;
        let publish = async |name: &str| {
            let key = |i| format!("{name}-{round}-{i}");
            let message: Vec<_> = (0..100).map(|i| world.delivery_of(&key(i), payload, project).encode()).collect();
            world.publish(&message).await;
            world.drained().await;
        };
        publish("seen").await;
        publish("remembered").await;
        assert_eq!(world.settled().await, (200 * round, 0, 100 * (round - 1)));
        world.database.batch_execute("DELETE FROM runs").await.expect("deleted");
        world.database.batch_execute(&format!("{lose} WHERE slug = 'side-{round}'")).await.expect("lost");
        publish("gone").await;
        assert_eq!(world.settled().await, (200 * round, 0, 100 * round), "{lose}");
    }
    assert_eq!(world.metric(WORKER, "runlatch_worker_commit_failures_total").await, 0.0);
}
