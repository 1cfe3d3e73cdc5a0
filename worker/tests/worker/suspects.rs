//! Who is suspected of killing workers, and who is not.

use std::fs;

use local::{Extra, Stack};
use tokio_postgres::Client;

use crate::{
    messages::deliver_in_vain,
    world::{WORKER, World, connect, until},
};

/// A message that so many workers have died of, it seems; the worker is stopped.
async fn suspected(world: &World, attempts: i32) {
    world.stack.stop(WORKER).await.expect("stopped");
    let sequence = world.publish(&[world.encoded("suspect", "{}")]).await;
    deliver_in_vain(world, 3).await;
    let stream = world.jetstream.get_stream(proto::queue::STREAM).await.expect("the stream");
    let epoch = i64::try_from(stream.cached_info().created.unix_timestamp_nanos() / 1000).expect("fits");
    let sql = "INSERT INTO suspect_messages VALUES ($1, $2, $3)";
    world.database.execute(sql, &[&epoch, &(sequence as i64), &attempts]).await.expect("counted");
}

/// Starts the worker, which may be ready for a moment or never, and waits until something has come about.
async fn start_until(world: &World, come_about: impl Future<Output = ()>) {
    let starting = async {
        _ = world.stack.start(WORKER).await;
        std::future::pending().await
    };
    tokio::select! {
        () = starting => {}
        () = come_about => {}
    }
}

async fn one_run(world: &World) {
    world.stack.start(WORKER).await.expect("started");
    world.drained().await;
    assert!(world.reasons().await.is_empty(), "it was held against the message");
    assert_eq!(world.settled().await, (1, 0, 0));
    assert_eq!(world.count("SELECT count(*) FROM suspect_messages").await, 0);
}

/// Whoever dies while nobody can write runs has died of something else, and neither does a session that waits on
/// without its worker count an attempt later.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_while_runs_are_locked_has_not_died_of_its_message() {
    let world = World::with(Stack::builder().worker(impatient())).await;
    suspected(&world, 4).await;
    let mut rival = connect(&world.stack).await;
    let lock = rival.transaction().await.expect("a transaction");
    lock.batch_execute("LOCK TABLE runs IN EXCLUSIVE MODE").await.expect("locked");
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'runlatch-worker'
                   AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO%'";
    start_until(&world, until("it waits", || async { world.count(waiting).await > 0 })).await;
    world.stack.halt(WORKER).await.expect("halted");
    lock.commit().await.expect("released");
    one_run(&world).await;
}

/// A full disk fails an attempt in no time, so the worker mostly waits for the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_while_the_disk_is_full_has_not_died_of_its_message() {
    let world = World::with(Stack::builder().worker(impatient())).await;
    suspected(&world, 4).await;
    fill_disk(&world.database).await;
    start_until(
        &world,
        until("it waits for the sixth time", || async {
            let log = world.stack.log(WORKER);
            let pauses = log.matches("nothing is committed; trying again trouble=SQLSTATE 53100").count();
            pauses >= 6 && world.count("SELECT max(attempts)::int8 FROM suspect_messages").await == 4
        }),
    )
    .await;
    world.stack.halt(WORKER).await.expect("halted");
    world.database.batch_execute("DROP TRIGGER disk_full ON runs").await.expect("freed");
    one_run(&world).await;
}

/// Held for too long, a batch goes back and forth, and is suspected for it; but nothing is counted.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_back_and_forth_during_an_outage_is_not_poison() {
    let world = World::with(Stack::builder().worker(Extra::new().env("RUNLATCH_MAX_HOLD", "1s"))).await;
    fill_disk(&world.database).await;
    world.publish(&[world.encoded("held", "{}")]).await;
    until("it was tried as a suspect, twice", || async {
        world.stack.log(WORKER).matches("a message came back; trying it alone").count() >= 2
    })
    .await;
    world.database.batch_execute("DROP TRIGGER disk_full ON runs").await.expect("freed");
    world.drained().await;
    assert!(world.reasons().await.is_empty());
    assert_eq!(world.settled().await, (1, 0, 0));
    until("nothing is counted", || async { world.count("SELECT count(*) FROM suspect_messages").await == 0 }).await;
    assert!(!world.stack.log(WORKER).contains("attempts=2"), "an attempt was not taken back");
}

/// Where the answer to the COMMIT of a count is lost, the attempt is counted once, is not begun, and is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_without_an_answer_is_taken_back() {
    let world = World::with(Stack::builder().worker(alone())).await;
    suspected(&world, 3).await;
    let sql = "
        CREATE FUNCTION outlast() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER outlast AFTER UPDATE ON suspect_messages DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (NEW.attempts > OLD.attempts) EXECUTE FUNCTION outlast();";
    world.database.batch_execute(sql).await.expect("a trigger");
    _ = world.stack.start(WORKER).await;
    until("four counts were not answered", || async {
        world.stack.log(WORKER).matches("nothing is committed; trying again trouble=no answer in time").count() >= 4
    })
    .await;
    world.database.batch_execute("DROP TRIGGER outlast ON suspect_messages").await.expect("dropped");
    one_run(&world).await;
}

/// A session that waits for a lock does not notice that its client has gone, so Postgres must give up by itself.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_ever_that_nobody_waits_for() {
    let world = World::with(Stack::builder().worker(alone().env("RUNLATCH_COMPACT_INTERVAL", "1s"))).await;
    suspected(&world, 1).await;
    fill_disk(&world.database).await;
    let mut rival = connect(&world.stack).await;
    let lock = rival.transaction().await.expect("a transaction");
    let sql = "LOCK TABLE suspect_messages IN EXCLUSIVE MODE; LOCK TABLE settled_sequences IN ACCESS EXCLUSIVE MODE";
    lock.batch_execute(sql).await.expect("locked");
    let waiting = |what: &'static str| {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1";
        let world = &world;
        async move { world.count_with(sql, &[&format!("%{what}%")]).await }
    };
    let told = until("an attempt is to be taken back", || async { waiting("SET%attempts - ").await > 0 });
    start_until(&world, told).await;
    until("rows are to be merged", || async { waiting("SELECT compact_settled_sequences").await > 0 }).await;
    world.stack.halt(WORKER).await.expect("halted");
    for what in ["SET%attempts - ", "SELECT compact_settled_sequences"] {
        until(what, || async { waiting(what).await == 0 }).await;
    }
    lock.commit().await.expect("released");
    world.database.batch_execute("DROP TRIGGER disk_full ON runs").await.expect("freed");
    one_run(&world).await;
}

/// A worker that dies with two suspects in hand has begun one of them.
#[tokio::test(flavor = "multi_thread")]
async fn lanes_try_one_suspect_at_a_time() {
    let one = impatient().env("RUNLATCH_LANES", "2").env("RUNLATCH_BATCH_MESSAGES", "1").env("RUNLATCH_LOG", "debug");
    let world = World::with(Stack::builder().worker(one.env("RUNLATCH_KILL_POINT", "@kill-point"))).await;
    let log = || world.stack.log(WORKER);
    assert!(log().contains("a kill point is armed"), "built without --features kill-points; type: make test");
    world.stack.stop(WORKER).await.expect("stopped");
    for key in ["one", "two"] {
        world.publish(&[world.encoded(key, "{}")]).await;
    }
    deliver_in_vain(&world, 3).await;
    fs::write(world.stack.directory().join("kill-point"), "pause:cleared").expect("written");
    world.stack.start(WORKER).await.expect("started");
    until("the second waits", || async { log().contains("a message that came back waits for another") }).await;
    until("the first is begun", || async { world.count("SELECT count(*) FROM suspect_messages").await > 0 }).await;
    assert_eq!(world.count("SELECT count(*) FROM suspect_messages").await, 1);
    world.stack.halt(WORKER).await.expect("halted");
    world.stack.start(WORKER).await.expect("started");
    world.drained().await;
    assert_eq!(world.settled().await, (2, 0, 0));
    assert_eq!(world.count("SELECT count(*) FROM suspect_messages").await, 0);
}

/// Gives a message back after a second, and takes it again. nats-server 2.9.10 forgets how often it gave a message out that
/// becomes due while only requests of the dead wait, and then it is no suspect any more. One lane leaves none.
fn alone() -> Extra {
    Extra::new().env("RUNLATCH_MAX_HOLD", "1s").env("RUNLATCH_LANES", "1")
}

fn impatient() -> Extra {
    Extra::new().env("RUNLATCH_ACK_WAIT", "1s")
}

/// Rows cannot be inserted any more, until trigger `disk_full` is dropped.
async fn fill_disk(database: &Client) {
    let sql = "
        CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END $$;
        CREATE TRIGGER disk_full BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION disk_full();";
    database.batch_execute(sql).await.expect("a trigger");
}
