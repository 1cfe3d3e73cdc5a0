//! `runlatch audit acknowledge`: what was purged on purpose, or lost and dealt with, must not hide what comes after it.

use async_nats::jetstream::Context;
use tokio_postgres::Client;

use super::{ranges::Ranges, stream::Seen};
use crate::{Error, output::say};

const UNKNOWN: &str = "nothing is recorded of a stream with that epoch";

pub(super) async fn acknowledge(
    client: &Client,
    nats: &Context,
    epoch: i64,
    sequences: Option<&Ranges>,
    note: &str,
) -> Result<(), Error> {
    // What is acknowledged is never heard of again: so nothing that is still to come.
    let last = last(client, nats, epoch, sequences.is_none()).await?;
    if let Some(beyond) = sequences.and_then(Ranges::last).filter(|beyond| *beyond > last) {
        return Err(Error::Failed(format!(
            "the stream of epoch {epoch} is known up to {last}, and not up to {beyond}"
        )));
    }
    // Of a stream as a whole: 1 without end.
    let (firsts, lasts) = sequences.map_or((vec![1], vec![None]), |sequences| {
        let (firsts, lasts) = sequences.columns();
        (firsts, lasts.into_iter().map(Some).collect())
    });
    let insert = "
        INSERT INTO audit_acknowledgements (stream_epoch, sequences, note)
        SELECT $1, range_agg(int8range(first, last, '[]')), $4 FROM unnest($2::int8[], $3::int8[]) AS range (first, last)";
    client.execute(insert, &[&epoch, &firsts, &lasts, &note]).await?;
    match sequences {
        Some(sequences) => say(&format!("acknowledged of epoch {epoch}: {sequences}")),
        None => say(&format!("acknowledged: the stream of epoch {epoch}")),
    }
}

/// The last sequence of the stream that is there, or the last that was settled of one that was lost.
async fn last(client: &Client, nats: &Context, epoch: i64, whole: bool) -> Result<i64, Error> {
    if let Some(seen) = Seen::look(nats).await?.filter(|seen| seen.epoch == epoch) {
        if whole {
            return Err(Error::Failed(format!(
                "epoch {epoch} is that of the stream that is there: name the sequences"
            )));
        }
        return Ok(seen.last);
    }
    let settled =
        "SELECT count(*) > 0, coalesce(max(upper(sequences)) - 1, 0) FROM settled_sequences WHERE stream_epoch = $1";
    let row = client.query_one(settled, &[&epoch]).await?;
    if row.get(0) { Ok(row.get(1)) } else { Err(Error::Failed(UNKNOWN.to_owned())) }
}
