//! The record of settled sequences: what it says of a batch, and that merging its rows changes none of it.

use async_nats::HeaderMap;
use local::{Extra, Stack};
use proto::{envelope, queue};

use crate::world::{World, connect, until};

/// created, duplicates, dead letters, announced, buried, and the sequences.
const ALL: &str = "SELECT concat_ws(' ', sum(created), sum(duplicates), sum(dead_letters), sum(announced), sum(buried),
                                    range_agg(sequences)) FROM settled_sequences";
const ROWS: &str = "SELECT count(*) FROM settled_sequences";

async fn text(database: &tokio_postgres::Client, sql: &str) -> String {
    database.query_one(sql, &[]).await.expect("a row").get(0)
}

async fn publish(world: &World, header: &str, keys: &[&str]) {
    let deliveries: Vec<_> = keys.iter().map(|key| world.encoded(key, "{}")).collect();
    let mut headers = HeaderMap::new();
    headers.insert(queue::COUNT_HEADER, header);
    let message = envelope::encode(deliveries.iter());
    let ack = world.jetstream.publish_with_headers(queue::subject(0), headers, message).await.expect("published");
    ack.await.expect("acknowledged");
    world.drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_announced_is_recorded_beside_what_became_of_it() {
    let world = World::new().await;
    for (header, keys, recorded) in [
        ("2", ["a", "b"].as_slice(), "2 0 0 2 0 {[1,2)}"),
        // The header does not say what the envelope holds: recorded as it is, for the audit to find.
        ("3", &["a", "c"], "3 1 0 5 0 {[1,3)}"),
        ("many", &["d"], "4 1 0 5 0 {[1,4)}"),
    ] {
        publish(&world, header, keys).await;
        assert_eq!(text(&world.database, ALL).await, recorded);
    }
    // Without a header the envelope speaks for itself; a message that cannot be read is one, written once.
    world.publish(&[world.encoded("e", "{}"), world.encoded("a", r#"{"other":1}"#)]).await;
    world.publish_raw(b"not an envelope").await;
    world.publish_raw(b"not an envelope").await;
    world.drained().await;
    assert_eq!(text(&world.database, ALL).await, "5 1 3 9 2 {[1,7)}");
}

/// Several merge, others write, and a reader sees the whole at any moment.
#[tokio::test(flavor = "multi_thread")]
async fn rows_are_merged_and_say_the_same() {
    let extra = Extra::new().env("RUNLATCH_COMPACT_INTERVAL", "1s").env("RUNLATCH_BATCH_MESSAGES", "1");
    let world = World::with(Stack::builder().workers(2).worker(extra)).await;
    let observer = connect(&world.stack).await;
    let mut most = 0;
    for index in 0..400 {
        world.publish(&[world.encoded(&format!("k{index}"), "{}")]).await;
        if index % 10 == 0 {
            // In one snapshot: each run has its count, and each count its sequence.
            let sql = "SELECT (SELECT count(*) FROM runs) = sum(created)
                          AND sum(created) = (SELECT coalesce(sum(upper(r) - lower(r)), 0) FROM unnest(range_agg(sequences)) AS r)
                       FROM settled_sequences HAVING count(*) > 0";
            let adds_up = observer.query_opt(sql, &[]).await.expect("rows").is_none_or(|row| row.get(0));
            assert!(adds_up, "after {index}");
            most = most.max(world.count(ROWS).await);
        }
    }
    world.drained().await;
    until("all is one row", || async { world.count(ROWS).await == 1 }).await;
    assert!(most > 1, "there was never anything to merge");
    assert_eq!(text(&world.database, ALL).await, "400 0 0 400 0 {[1,401)}");
}

/// What must not be lost in a sum is left alone: a row that does not add up, and what is of another stream or kind.
#[tokio::test(flavor = "multi_thread")]
async fn what_must_stay_apart_stays_apart() {
    let world = World::with(Stack::builder().workers(0)).await;
    let rows = "INSERT INTO settled_sequences (stream_epoch, sequences, created, duplicates, dead_letters, announced, buried) VALUES
        (1, '{[1,3)}', 5, 0, 0, 5, 0), (1, '{[5,6)}', 0, 1, 1, 2, 1), (1, '{[3,4)}', 1, 0, 0, 2, 0), (1, '{[2,4)}', 0, 3, 0, 3, 0),
        (1, '{[4,5)}', 2, 0, 0, NULL, NULL), (1, '{[6,7)}', 1, 0, 0, NULL, NULL), (2, '{[1,2)}', 1, 0, 0, 1, 0),
        (2, '{[2,3)}', 1500000000, 0, 0, 1500000000, 0), (2, '{[3,4)}', 900000000, 0, 0, 900000000, 0),
        (2, '{[4,5)}', 900000000, 0, 0, 900000000, 0), (2, '{[5,6)}', 900000000, 0, 0, 900000000, 0)";
    world.database.execute(rows, &[]).await.expect("rows");
    let merged: i32 =
        world.database.query_one("SELECT compact_settled_sequences(100)", &[]).await.expect("merged").get(0);
    assert_eq!(merged, 5);
    let left = "SELECT string_agg(concat_ws(' ', stream_epoch, sequences, created, duplicates, dead_letters, announced, buried), E'\\n'
                       ORDER BY stream_epoch, sequences) FROM settled_sequences";
    let expected = [
        "1 {[1,4),[5,6)} 5 4 1 10 1",
        "1 {[3,4)} 1 0 0 2 0",
        "1 {[4,5),[6,7)} 3 0 0",
        "2 {[1,2),[3,5)} 1800000001 0 0 1800000001 0",
        "2 {[2,3)} 1500000000 0 0 1500000000 0",
        "2 {[5,6)} 900000000 0 0 900000000 0",
    ];
    assert_eq!(text(&world.database, left).await.lines().collect::<Vec<_>>(), expected);
}
