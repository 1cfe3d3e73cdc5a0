//! Messages that are no plain envelope, or that come again and again.

use async_nats::jetstream::{AckKind, consumer::PullConsumer};
use futures_util::StreamExt;
use local::{Extra, Stack};
use proto::queue;

use crate::world::{WORKER, World, consumer, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_message_is_a_dead_letter_with_its_bytes_and_settles_again() {
    let world = World::new().await;
    for _ in 0..2 {
        world.publish_raw(b"\xff not json").await;
    }
    world.publish(&[world.encoded("good", "{}")]).await;
    world.drained().await;
    assert_eq!(world.settled().await, (1, 0, 2));
    assert_eq!(world.sequences().await, "{[1,4)}");
    let sql =
        "SELECT count(*) FROM dead_letters WHERE reason = 'malformed_message' AND payload = $1 AND run_id IS NULL";
    assert_eq!(world.count_with(sql, &[&b"\xff not json".as_slice()]).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_newer_workers_is_put_back_and_not_settled() {
    let world = World::new().await;
    world.publish_raw(br#"{"v":2,"anything":[]}"#).await;
    world.publish(&[world.encoded("good", "{}")]).await;
    until("it was counted", || async {
        world.metric(WORKER, "runlatch_worker_unsupported_versions_total").await == 1.0
    })
    .await;
    until("the good one is settled", || async { world.sequences().await == "{[2,3)}" }).await;
    let mut stream = world.jetstream.get_stream(queue::STREAM).await.expect("the stream");
    until("the good one is acked", || async {
        world.jetstream.get_stream(queue::STREAM).await.is_ok_and(|stream| stream.cached_info().state.messages == 1)
    })
    .await;
    assert_eq!(stream.info().await.expect("info").state.first_sequence, 1, "it is still there");
    assert_eq!(world.settled().await, (1, 0, 0));
    // Put back with a delay, not left to its ack wait: the worker does not have it in hand.
    assert!(world.reasons().await.is_empty());
}

/// Takes every message out of the consumer as a worker would, and gives it back without having settled it.
pub(crate) async fn deliver_in_vain(world: &World, times: u32) {
    let mut stream = world.jetstream.get_stream(queue::STREAM).await.expect("the stream");
    let waiting = usize::try_from(stream.info().await.expect("info").state.messages).expect("some");
    let consumer: PullConsumer = stream.get_consumer(&consumer(&stream)).await.expect("the consumer");
    for _ in 0..times {
        let mut taken = Vec::new();
        // May find nothing yet: giving back takes effect a little later.
        while taken.len() < waiting {
            let mut messages = consumer.fetch().max_messages(waiting - taken.len()).messages().await.expect("a fetch");
            while let Some(message) = messages.next().await {
                taken.push(message.expect("a message"));
            }
        }
        for message in taken {
            message.ack_with(AckKind::Nak(None)).await.expect("put back");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_came_back_is_tried_alone_and_then_forgotten() {
    let world = World::with(Stack::builder().worker(Extra::new().env("RUNLATCH_LANES", "1"))).await;
    world.stack.stop(WORKER).await.expect("stopped");
    world.publish(&[world.encoded("suspect", "{}")]).await;
    deliver_in_vain(&world, 3).await;
    world.publish(&[world.encoded("innocent", "{}")]).await;
    world.stack.start(WORKER).await.expect("started");
    world.drained().await;
    assert_eq!(world.settled().await, (2, 0, 0));
    assert_eq!(
        world.count("SELECT count(*) FROM settled_sequences WHERE NOT isempty(sequences)").await,
        2,
        "the suspect had a transaction of its own"
    );
    assert_eq!(world.count("SELECT count(*) FROM suspect_messages").await, 0);
    let log = std::fs::read_to_string(world.stack.log_path(WORKER)).expect("a log");
    assert!(log.contains("attempts=1"), "it was counted before it was tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_begun_five_times_in_vain_is_a_dead_letter_unread() {
    let world = World::new().await;
    world.stack.stop(WORKER).await.expect("stopped");
    let killer = [world.encoded("killer", "{}")];
    let sequence = world.publish(&killer).await;
    deliver_in_vain(&world, 3).await;
    let info = world.jetstream.get_stream(queue::STREAM).await.expect("the stream").cached_info().clone();
    let epoch = i64::try_from(info.created.unix_timestamp_nanos() / 1000).expect("fits");
    // What five workers that died of it have left behind.
    let sql = "INSERT INTO suspect_messages VALUES ($1, $2, 5)";
    world.database.execute(sql, &[&epoch, &(sequence as i64)]).await.expect("counted");
    world.stack.start(WORKER).await.expect("started");
    world.drained().await;
    assert_eq!(world.reasons().await, ["poison_message"]);
    assert_eq!(world.settled().await, (0, 0, 1));
    assert_eq!(world.count("SELECT count(*) FROM suspect_messages").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM runs").await, 0);

    // Its ack may get lost. What comes back then is settled as the dead letter that it is: not begun five times more,
    // and never a run beside it.
    world.stack.stop(WORKER).await.expect("stopped");
    world.publish(&killer).await;
    deliver_in_vain(&world, 3).await;
    world.stack.start(WORKER).await.expect("started");
    world.drained().await;
    assert_eq!(world.reasons().await, ["poison_message"]);
    assert_eq!(world.settled().await, (0, 0, 2));
    assert_eq!(world.count("SELECT count(*) FROM runs").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_newer_workers_never_becomes_poison() {
    let world = World::new().await;
    world.stack.stop(WORKER).await.expect("stopped");
    world.publish_raw(br#"{"v":2,"anything":[]}"#).await;
    deliver_in_vain(&world, 3).await;
    world.stack.start(WORKER).await.expect("started");
    until("it is put back", || async {
        world.metric(WORKER, "runlatch_worker_unsupported_versions_total").await >= 1.0
    })
    .await;
    until("no attempt is counted", || async { world.count("SELECT count(*) FROM suspect_messages").await == 0 }).await;
    assert!(world.stack.log(WORKER).contains("attempts=1"), "it was not even suspected");
    assert!(world.reasons().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_version_before_the_first() {
    let world = World::new().await;
    world.publish_raw(br#"{"v":0,"deliveries":[]}"#).await;
    world.drained().await;
    assert_eq!(world.reasons().await, ["malformed_message"]);
}
