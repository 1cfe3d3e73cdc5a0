//! A message that the consumer keeps to itself.

use std::time::Duration;

use async_nats::jetstream::{self, AckKind, consumer::PullConsumer};
use futures_util::StreamExt;
use local::{Extra, Stack};
use proto::queue;

use crate::world::{WORKER, World, consumer, until};

/// Takes a message as a worker would, and says for ever that it is being worked on. To the workers it is what the consumer
/// has forgotten above its ack floor: given out once, neither settled nor given out again.
async fn hold_back(consumer: &PullConsumer) -> tokio::task::JoinHandle<()> {
    let mut messages = consumer.fetch().max_messages(1).messages().await.expect("a fetch");
    let message: jetstream::Message = messages.next().await.expect("one is waiting").expect("a message");
    tokio::spawn(async move {
        loop {
            message.ack_with(AckKind::Progress).await.expect("sent");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_out_and_never_comes_again_is_fetched_back() {
    let world = World::with(Stack::builder().worker(Extra::new().env("RUNLATCH_ACK_WAIT", "2s"))).await;
    world.stack.stop(WORKER).await.expect("stopped");
    let stream = world.jetstream.get_stream(queue::STREAM).await.expect("the stream");
    let name = consumer(&stream);
    let mut consumer: PullConsumer = stream.get_consumer(&name).await.expect("the consumer");
    let forgotten = world.publish(&[world.encoded("forgotten", "{}")]).await;
    let holding = hold_back(&consumer).await;
    world.stack.start(WORKER).await.expect("started");
    for index in 0..10 {
        world.publish(&[world.encoded(&format!("k{index}"), "{}")]).await;
    }
    until("all others are settled", || async { world.sequences().await == "{[2,12)}" }).await;
    let info = consumer.info().await.expect("the consumer");
    assert!(info.ack_floor.stream_sequence < forgotten, "not what this is about: {info:?}");
    assert!(info.delivered.stream_sequence >= forgotten, "{info:?}");
    let made = "runlatch_worker_consumers_created_total";
    assert_eq!(world.metric(WORKER, made).await, 0.0, "no time has been given to it");

    until("the consumer is made anew", || async { world.metric(WORKER, made).await == 1.0 }).await;
    world.drained().await;
    assert!(!holding.is_finished(), "it was not held back to the end");
    holding.abort();
    assert_eq!(world.count("SELECT count(*) FROM runs").await, 11);
    assert_eq!(world.sequences().await, "{[1,12)}");
    assert_eq!(world.metric(WORKER, made).await, 1.0, "once was enough");
    let log = world.stack.log(WORKER);
    assert!(log.contains("ERROR") && log.contains("the consumer seems to have forgotten a message"), "no alert");
}
