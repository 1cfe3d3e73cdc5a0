//! A burst: as fast as it goes, with duplicates.

use futures_util::{StreamExt, stream};
use harness::{World, payload};

const DELIVERIES: usize = 20_000;
/// Every tenth is sent twice.
const TWICE: usize = 10;
const AT_ONCE: usize = 200;

#[tokio::test]
async fn twenty_thousand() {
    let world = World::with(|builder| builder.gateways(2).workers(2)).await;
    let deploy = world.playbook("acme/deploy").await;
    let sends = (0..DELIVERIES).flat_map(|index| std::iter::repeat_n(index, 1 + usize::from(index % TWICE == 0)));
    let answers: Vec<_> = stream::iter(sends.enumerate())
        .map(|(nth, index)| {
            let delivery = deploy.delivery(&key(index)).gateway(nth % 2);
            let sent = world.send(delivery);
            async move { (index, sent.await) }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;

    assert_eq!(answers.iter().filter(|(_, answer)| answer.status == 202).count(), DELIVERIES);
    assert_eq!(answers.iter().filter(|(_, answer)| answer.status == 200).count(), DELIVERIES / TWICE);
    world.settled().await;
    let runs = world.runs().await;
    assert_eq!(runs.len(), DELIVERIES);
    assert_eq!(world.count("dead_letters").await, 0);
    for (index, run) in runs.iter().enumerate() {
        assert_eq!((run.key.as_str(), run.payload.as_str()), (key(index).as_str(), payload(&key(index)).as_str()));
    }
    for (index, answer) in &answers {
        let told = if answer.status == 202 { answer.created() } else { answer.replayed() };
        assert_eq!((told.run, told.timestamp.as_str()), (runs[*index].id, runs[*index].accepted_at.as_str()));
    }
    // Every message of the stream is settled, and the settled deliveries are what was sent.
    let row = world
        .database
        .query_one(
            "SELECT range_agg(sequences)::text, sum(created), sum(created + duplicates)
             FROM (SELECT unnest(sequences) AS sequences, 0 AS created, 0 AS duplicates FROM settled_sequences
                   UNION ALL SELECT NULL, created, duplicates FROM settled_sequences) AS settled",
            &[],
        )
        .await
        .expect("a row");
    let last = world.messages_ever().await;
    assert_eq!(row.get::<_, &str>(0), format!("{{[1,{})}}", last + 1));
    assert_eq!(row.get::<_, i64>(1), DELIVERIES as i64);
    // A retry that came before the mark was published again, and dropped.
    assert!((DELIVERIES as i64..=(DELIVERIES + DELIVERIES / TWICE) as i64).contains(&row.get::<_, i64>(2)));
    world.end().await;
}

/// Sorts as its index does.
fn key(index: usize) -> String {
    format!("{index:05}")
}
