//! Parts go away and come back.

use local::{Extra, Stack};
use proto::queue;

use crate::world::{WORKER, World, connect, consumer, until};

fn numbered(world: &World, from: usize, to: usize) -> Vec<proto::envelope::Encoded> {
    (from..to).map(|i| world.encoded(&format!("k{i}"), "{}")).collect()
}

/// Deletes the stream, and waits until there is another, with its consumer; returns when that was made, in nanoseconds
/// since 1970. The old one can still be seen for a moment after its deletion was confirmed.
async fn delete_and_wait_for_another(world: &World) -> i128 {
    let made = || async {
        let stream = world.jetstream.get_stream(queue::STREAM).await.ok()?;
        stream.consumer_info(consumer(&stream)).await.ok()?;
        Some(stream.cached_info().created.unix_timestamp_nanos())
    };
    let old = made().await.expect("a stream");
    world.jetstream.delete_stream(queue::STREAM).await.expect("deleted");
    until("there is another", || async { made().await.is_some_and(|new| new != old) }).await;
    made().await.expect("a stream")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_deleted_under_a_worker_is_made_anew_and_works_on() {
    let world = World::new().await;
    world.publish(&numbered(&world, 0, 1)).await;
    world.drained().await;
    delete_and_wait_for_another(&world).await;
    let sequence = world.publish(&numbered(&world, 1, 2)).await;
    assert_eq!(sequence, 1, "another stream");
    world.drained().await;
    assert_eq!(world.settled().await, (2, 0, 0));
    let epochs = "SELECT count(*) FROM (SELECT DISTINCT stream_epoch FROM settled_sequences WHERE sequences = '{[1,2)}') AS epochs";
    assert_eq!(world.count(epochs).await, 2, "each under the epoch of its own stream");
    assert!(world.metric(WORKER, "runlatch_worker_streams_created_total").await >= 1.0);
    let log = std::fs::read_to_string(world.stack.log_path(WORKER)).expect("a log");
    assert!(log.contains("ERROR") && log.contains("made stream RUNS anew"), "no alert in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_are_recorded_under_the_new_epoch_although_another_worker_made_the_stream() {
    // All three begin at once, and would make the stream at once.
    let world = World::with(Stack::builder().workers(3)).await;
    for round in 0..5 {
        let made = delete_and_wait_for_another(&world).await;
        for message in 0..4 {
            world.publish(&numbered(&world, round * 4 + message, round * 4 + message + 1)).await;
        }
        world.drained().await;
        let epoch = i64::try_from(made / 1000).expect("fits");
        let sql =
            "SELECT count(*) FROM settled_sequences, unnest(sequences) AS r, generate_series(lower(r), upper(r) - 1)
                   WHERE stream_epoch = $1";
        until("all four are under the new epoch", || async { world.count_with(sql, &[&epoch]).await == 4 }).await;
    }
    assert_eq!(world.count("SELECT count(*) FROM runs").await, 20);
}

/// An ack says nothing of the stream's incarnation but by the consumer's name.
#[tokio::test(flavor = "multi_thread")]
async fn acks_of_a_lost_stream_settle_nothing_of_its_successor() {
    let world = World::new().await;
    let mut rival = connect(&world.stack).await;
    let lock = rival.transaction().await.expect("a transaction");
    lock.batch_execute("LOCK TABLE runs IN EXCLUSIVE MODE").await.expect("locked");
    world.publish(&numbered(&world, 0, 1)).await;
    world.publish(&numbered(&world, 1, 2)).await;
    until("both are in hand", || async {
        let stream = world.jetstream.get_stream(queue::STREAM).await.expect("the stream");
        stream.consumer_info(consumer(&stream)).await.expect("the consumer").num_ack_pending == 2
    })
    .await;
    delete_and_wait_for_another(&world).await;
    for next in 2..5 {
        world.publish(&numbered(&world, next, next + 1)).await;
    }
    lock.commit().await.expect("released");
    world.drained().await;
    assert_eq!(world.count("SELECT count(*) FROM runs").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_deleted_under_a_worker_is_made_anew_and_works_on() {
    let world = World::new().await;
    let stream = world.jetstream.get_stream(queue::STREAM).await.expect("the stream");
    stream.delete_consumer(&consumer(&stream)).await.expect("deleted");
    world.publish(&numbered(&world, 0, 10)).await;
    world.drained().await;
    assert_eq!(world.settled().await, (10, 0, 0));
    assert!(world.metric(WORKER, "runlatch_worker_consumers_created_total").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_may_drop_what_it_accepted_is_not_consumed() {
    let world = World::new().await;
    world.stack.stop(WORKER).await.expect("stopped");
    world.jetstream.delete_stream(queue::STREAM).await.expect("deleted");
    let lossy = async_nats::jetstream::stream::Config {
        name: queue::STREAM.to_owned(),
        subjects: vec![queue::SUBJECTS.to_owned()],
        retention: async_nats::jetstream::stream::RetentionPolicy::WorkQueue,
        max_messages: 10,
        ..Default::default()
    };
    world.jetstream.create_stream(lossy).await.expect("made by hand");
    let told = until("readiness says so", || async {
        world.readiness().await.contains("nats: stream RUNS is not to be trusted: it discards old messages")
    });
    tokio::select! {
        started = world.stack.start(WORKER) => panic!("it is ready: {started:?}"),
        () = told => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_outage_loses_nothing_and_counts_against_nothing() {
    let mut world = World::new().await;
    // Frozen before it dies, so that a batch is in hand when it does.
    world.stack.freeze("postgres").await.expect("frozen");
    for from in (0..1000).step_by(10) {
        world.publish(&numbered(&world, from, from + 10)).await;
    }
    until("some are in hand", || async {
        let stream = world.jetstream.get_stream(queue::STREAM).await.expect("the stream");
        stream.consumer_info(consumer(&stream)).await.expect("the consumer").num_ack_pending > 0
    })
    .await;
    world.stack.halt("postgres").await.expect("halted");
    until("readiness says so", || async { world.readiness().await.contains("postgres: ") }).await;
    world.stack.start("postgres").await.expect("started");
    world.database = connect(&world.stack).await;
    world.drained().await;
    assert_eq!(world.count("SELECT count(*) FROM runs").await, 1000);
    assert_eq!(world.sequences().await, "{[1,101)}");
    assert_eq!(world.settled().await, (1000, 0, 0));
    assert_eq!(world.count("SELECT count(*) FROM suspect_messages").await, 0);
    assert_eq!(world.metric(WORKER, "runlatch_worker_redeliveries_total").await, 0.0);
    until("it is ready again", || async { world.readiness().await == "ready\n" }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_takes_longer_than_the_ack_wait_is_not_given_to_another_lane() {
    let world = World::with(Stack::builder().worker(Extra::new().env("RUNLATCH_ACK_WAIT", "1s"))).await;
    let mut rival = connect(&world.stack).await;
    let lock = rival.transaction().await.expect("a transaction");
    lock.batch_execute("LOCK TABLE runs IN EXCLUSIVE MODE").await.expect("locked");
    world.publish(&numbered(&world, 0, 10)).await;
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE wait_event_type = 'Lock' AND now() - xact_start > interval '4 seconds'";
    until("a commit has waited for four times the ack wait", || async { world.count(waiting).await > 0 }).await;
    lock.commit().await.expect("released");
    world.drained().await;
    assert_eq!(world.settled().await, (10, 0, 0));
    assert_eq!(world.metric(WORKER, "runlatch_worker_redeliveries_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_restarted_under_a_worker_is_found_again() {
    let world = World::new().await;
    world.stack.halt("nats").await.expect("halted");
    until("readiness says so", || async { world.readiness().await.contains("nats: ") }).await;
    world.stack.start("nats").await.expect("started");
    until("it is ready again", || async { world.readiness().await == "ready\n" }).await;
    until("the test is connected again", || async { world.jetstream.get_stream(queue::STREAM).await.is_ok() }).await;
    world.publish(&numbered(&world, 0, 10)).await;
    world.drained().await;
    assert_eq!(world.settled().await, (10, 0, 0));
    assert_eq!(world.metric(WORKER, "runlatch_worker_streams_created_total").await, 1.0, "it was only away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stopped_in_the_midst_of_a_backlog_leaves_nothing_to_redeliver() {
    let extra = Extra::new().env("RUNLATCH_BATCH_MESSAGES", "8");
    let world = World::with(Stack::builder().worker(extra)).await;
    world.stack.stop(WORKER).await.expect("stopped");
    for from in (0..40_000).step_by(100) {
        world.publish(&numbered(&world, from, from + 100)).await;
    }
    world.stack.start(WORKER).await.expect("started");
    until("it has begun", || async { world.count("SELECT count(*) FROM runs").await > 0 }).await;
    let status = world.stack.stop(WORKER).await.expect("stopped");
    assert!(status.success());
    let rest = || async {
        let stream = world.jetstream.get_stream(queue::STREAM).await.expect("the stream");
        i64::try_from(stream.cached_info().state.messages).expect("fits")
    };
    let runs = world.count("SELECT count(*) FROM runs").await;
    // The worker has sent its acks; a broker that is busy comes to them a little later.
    until("each run has its ack, and each ack its runs", || async { runs == 40_000 - 100 * rest().await }).await;
    assert!(rest().await > 0, "it had finished before it was stopped: no test");
    world.stack.start(WORKER).await.expect("started");
    world.drained().await;
    assert_eq!(world.settled().await, (40_000, 0, 0));
    assert_eq!(world.sequences().await, "{[1,401)}");
    assert_eq!(world.metric(WORKER, "runlatch_worker_redeliveries_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_in_the_midst_of_a_backlog_loses_and_doubles_nothing() {
    let extra = Extra::new().env("RUNLATCH_BATCH_MESSAGES", "8").env("RUNLATCH_ACK_WAIT", "1s");
    let world = World::with(Stack::builder().worker(extra)).await;
    world.stack.stop(WORKER).await.expect("stopped");
    for from in (0..20_000).step_by(100) {
        world.publish(&numbered(&world, from, from + 100)).await;
    }
    world.stack.start(WORKER).await.expect("started");
    for kills in 1..=3 {
        until("it has begun", || async {
            world.count("SELECT count(*) FROM settled_sequences WHERE NOT isempty(sequences)").await >= kills * 3
        })
        .await;
        world.stack.kill(WORKER).await.expect("killed");
    }
    world.drained().await;
    assert_eq!(world.count("SELECT count(*) FROM runs").await, 20_000);
    assert_eq!(world.sequences().await, "{[1,201)}");
    assert_eq!(world.settled().await.0, 20_000);
    assert!(world.reasons().await.is_empty());
}
