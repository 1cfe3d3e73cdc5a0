//! `runlatch audit acknowledge`: what was purged on purpose, or lost and dealt with, must not hide what comes after it.

use async_nats::jetstream::Context;
use tokio_postgres::Client;

use super::{ranges::Ranges, stream::Seen};
use crate::{Error, output::say};

/// Who acknowledges the whole of the stream that is there would never hear of it again.
pub(super) async fn refuse_current(nats: &Context, epoch: i64) -> Result<(), Error> {
    match Seen::look(nats).await? {
        Some(seen) if seen.epoch == epoch => {
            Err(Error::Failed(format!("epoch {epoch} is that of the stream that is there: name the sequences")))
        }
        _ => Ok(()),
    }
}

pub(super) async fn acknowledge(
    client: &Client,
    epoch: i64,
    sequences: Option<&Ranges>,
    note: &str,
) -> Result<(), Error> {
    let known = "SELECT EXISTS (SELECT FROM settled_sequences WHERE stream_epoch = $1)";
    if sequences.is_none() && !client.query_one(known, &[&epoch]).await?.get::<_, bool>(0) {
        return Err(Error::Failed("nothing is recorded of a stream with that epoch".to_owned()));
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
