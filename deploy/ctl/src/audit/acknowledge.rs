//! `runlatch audit acknowledge`: what was purged on purpose, or lost and dealt with, must not hide what comes after it.

use async_nats::jetstream::Context;
use tokio_postgres::Client;

use super::{arguments::Epochs, examine::examine, ranges::Ranges, stream::Seen};
use crate::{Error, output::say};

/// Nothing of `wrong` is reported any more.
pub(super) async fn sequences(
    client: &mut Client,
    nats: &Context,
    epoch: i64,
    wrong: &Ranges,
    note: &str,
) -> Result<(), Error> {
    // What is acknowledged is never heard of again: so nothing that waits yet, or is to come. The look and the insert need
    // not be one transaction: what is missing can only be settled yet, by whoever has it in hand, and settled it counts as that.
    let findings = examine(client, nats, Epochs::One(epoch), false).await?;
    let reported = findings.streams.iter().flat_map(|stream| {
        let odd = stream.odd.iter().map(|odd| &odd.sequences);
        [&stream.missing].into_iter().chain(odd)
    });
    let well = reported.fold(wrong.clone(), |well, reported| well.without(reported));
    if !well.is_empty() {
        return Err(Error::Failed(format!(
            "nothing is acknowledged: in the stream of epoch {epoch} the audit reports nothing of {well}"
        )));
    }
    let (firsts, lasts) = wrong.columns();
    insert(client, epoch, firsts, lasts.into_iter().map(Some).collect(), note).await?;
    say(&format!("acknowledged of epoch {epoch}: {wrong}"))
}

/// Nothing of a stream that was lost is reported any more.
pub(super) async fn whole(client: &Client, nats: &Context, epoch: i64, note: &str) -> Result<(), Error> {
    if Seen::look(nats).await?.is_some_and(|seen| seen.epoch == epoch) {
        return Err(Error::Failed(format!("epoch {epoch} is that of the stream that is there: name the sequences")));
    }
    let known = "SELECT EXISTS (SELECT FROM settled_sequences WHERE stream_epoch = $1)";
    if !client.query_one(known, &[&epoch]).await?.get::<_, bool>(0) {
        return Err(Error::Failed("nothing is recorded of a stream with that epoch".to_owned()));
    }
    // From 1 without end.
    insert(client, epoch, vec![1], vec![None], note).await?;
    say(&format!("acknowledged: the stream of epoch {epoch}"))
}

async fn insert(
    client: &Client,
    epoch: i64,
    firsts: Vec<i64>,
    lasts: Vec<Option<i64>>,
    note: &str,
) -> Result<(), Error> {
    let insert = "
        INSERT INTO audit_acknowledgements (stream_epoch, sequences, note)
        SELECT $1, range_agg(int8range(first, last, '[]')), $4 FROM unnest($2::int8[], $3::int8[]) AS range (first, last)";
    client.execute(insert, &[&epoch, &firsts, &lasts, &note]).await?;
    Ok(())
}
