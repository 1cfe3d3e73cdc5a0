//! Step 1 of the transaction for a large batch: what is nothing but new goes in by `COPY`.
//!
//! That takes Postgres half the time of an `INSERT` with as many parameters: it fills a page at once, and needs no arrays and
//! no second thoughts about each row. But it knows no `ON CONFLICT`. So what stands in a row's way is asked for first
//! (`plain.rs`), in the same round trip; and where the answer is outdated by the time the row comes, because another lane was
//! faster, or what is remembered of targets is outdated, or Postgres refuses a row's data, the whole batch is inserted in the
//! other way.

use bytes::{BufMut, Bytes, BytesMut};
use deadpool_postgres::Object;
use futures_util::SinkExt;
use proto::{Timestamp, envelope::Delivery};
use tokio_postgres::CopyInSink;

use ops::postgres::Trouble;

use crate::{decode::Item, outcome::Outcome, plain, targets::Targets};

/// From this many deliveries on. Below, the round trip that a `COPY` costs more than it saves.
pub(crate) const COPY_FROM: usize = 64;

const COPY: &str = "
    COPY runs (id, organization_id, playbook_id, project_id, template_id, idempotency_key, fingerprint, payload, accepted_at, request_id)
    FROM STDIN (FORMAT binary)";

/// In one write to the socket.
const CHUNK: usize = 64 << 10;

/// As `insert` does, and in the same order; or `None`, and is back at the savepoint, if it has to be done in the other way.
pub(crate) async fn copy(
    connection: &Object,
    begin: impl Future<Output = Result<(), tokio_postgres::Error>>,
    items: &[Item<'_>],
    targets: &Targets,
) -> Result<Option<Vec<Option<Outcome>>>, Trouble> {
    let question = plain::question();
    let (question, copy) = tokio::try_join!(connection.prepare_cached(&question), connection.prepare_cached(COPY))?;
    // One round trip for all three.
    let (begin, plain, sink) =
        tokio::join!(begin, plain::find(connection, &question, items, targets), connection.copy_in(&copy));
    begin?;
    let Some(plain) = plain? else {
        send(sink?, std::iter::empty()).await?;
        return Ok(None);
    };
    let rows = items.iter().zip(&plain).filter(|(_, plain)| **plain).map(|(item, _)| &item.delivery);
    match send(sink?, rows).await {
        // A trigger of the operator's that drops rows in silence is no reason to ack them.
        Ok(copied) if copied != plain.iter().filter(|plain| **plain).count() as u64 => Err(Trouble::Unsettled),
        Ok(_) => Ok(Some(plain.into_iter().map(|plain| plain.then_some(Outcome::Created)).collect())),
        Err(error) => {
            let trouble = Trouble::from(error);
            if trouble.refusal().is_none() {
                return Err(trouble);
            }
            connection.batch_execute("ROLLBACK TO SAVEPOINT batch").await?;
            Ok(None)
        }
    }
}

/// Returns how many rows Postgres has made of them.
async fn send<'a>(
    sink: CopyInSink<Bytes>,
    rows: impl Iterator<Item = &'a Delivery<'a>>,
) -> Result<u64, tokio_postgres::Error> {
    let mut sink = std::pin::pin!(sink);
    let mut buffer = BytesMut::with_capacity(2 * CHUNK);
    begin(&mut buffer);
    for row in rows {
        write(&mut buffer, row);
        if buffer.len() >= CHUNK {
            sink.send(buffer.split().freeze()).await?;
            buffer.reserve(2 * CHUNK);
        }
    }
    end(&mut buffer);
    sink.send(buffer.freeze()).await?;
    sink.as_mut().finish().await
}

/// The file's header: signature, flags, and no extension. The format is that of PostgreSQL's manual, "COPY, Binary Format";
/// `tokio_postgres` writes it too, but in so many small pieces that it takes a fifth longer.
fn begin(buffer: &mut BytesMut) {
    buffer.put_slice(b"PGCOPY\n\xff\r\n\0");
    buffer.put_i32(0);
    buffer.put_i32(0);
}

fn end(buffer: &mut BytesMut) {
    buffer.put_i16(-1);
}

/// A row, in the order of the columns.
fn write(buffer: &mut BytesMut, row: &Delivery<'_>) {
    let ids = [row.run_id.0, row.organization_id.0, row.playbook_id.0, row.project_id.0, row.template_id.0];
    buffer.put_i16(10);
    ids.iter().for_each(|id| field(buffer, id.as_bytes()));
    field(buffer, row.idempotency_key.as_str().as_bytes());
    field(buffer, &row.fingerprint.0);
    field(buffer, row.payload.as_str().as_bytes());
    field(buffer, &since_2000(row.accepted_at).to_be_bytes());
    match &row.request_id {
        Some(request) => field(buffer, request.as_bytes()),
        None => buffer.put_i32(-1),
    }
}

fn field(buffer: &mut BytesMut, value: &[u8]) {
    let length = u32::try_from(value.len()).expect("a part of a message, and the broker allows 64 MiB for the whole");
    buffer.put_u32(length);
    buffer.put_slice(value);
}

/// Microseconds, as Postgres keeps a `timestamptz`.
fn since_2000(timestamp: Timestamp) -> i64 {
    const MILLIS_OF_2000: i64 = 946_684_800_000;
    // Fits: a timestamp ends with the year 9999.
    (i64::try_from(timestamp.as_millis()).unwrap_or(i64::MAX / 2000) - MILLIS_OF_2000) * 1000
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::BytesMut;
    use proto::Timestamp;
    use tokio_postgres::types::{ToSql, Type};

    #[test]
    fn a_timestamp_is_what_the_library_makes_of_it() {
        for millis in [0, 1, 946_684_800_000, 1_795_000_000_123, 253_402_207_199_999] {
            let timestamp = Timestamp::from_millis(millis).expect("a timestamp");
            let mut expected = BytesMut::new();
            SystemTime::from(timestamp).to_sql(&Type::TIMESTAMPTZ, &mut expected).expect("written");
            assert_eq!(super::since_2000(timestamp).to_be_bytes(), expected[..], "{millis}");
        }
    }
}
