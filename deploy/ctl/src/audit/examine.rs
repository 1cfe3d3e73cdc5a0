//! The audit itself.

use async_nats::jetstream::Context;
use proto::queue::STREAM;
use tokio_postgres::{Client, IsolationLevel, Transaction};

use super::{
    arguments::Epochs,
    record::{self, Record},
    report::{Findings, Stream},
    stream::Seen,
};
use crate::Error;

/// How often it begins again where the stream was made anew under its eyes.
const TRIES: usize = 3;

pub(super) async fn examine(
    database: &mut Client,
    nats: &Context,
    epochs: Epochs,
    count_runs: bool,
) -> Result<Findings, Error> {
    for _ in 0..TRIES {
        let before = look(nats).await?;
        // Only now: see the module's text.
        let level = IsolationLevel::RepeatableRead;
        let transaction = database.build_transaction().isolation_level(level).read_only(true).start().await?;
        refuse_standby(&transaction).await?;
        let mut findings = read(&transaction, &before, epochs, count_runs).await?;
        transaction.commit().await?;
        let after = look(nats).await?;
        if after.epoch != before.epoch {
            continue;
        }
        // The other order, for the other direction: what was settled had been in the stream before, so a later look at
        // the stream must find it as long, or its end was lost and its numbers are given out again.
        if let Some(current) = findings.streams.iter_mut().find(|stream| stream.current) {
            current.rolled_back = current.record.highest_settled > after.last;
        }
        return Ok(findings);
    }
    Err(Error::Failed(format!("stream {STREAM} is made anew again and again")))
}

async fn look(nats: &Context) -> Result<Seen, Error> {
    let seen = Seen::look(nats).await?;
    seen.ok_or_else(|| Error::Failed(format!("there is no stream {STREAM}; a worker makes it")))
}

/// A standby may be behind: what it has not heard of yet would be taken for lost.
async fn refuse_standby(transaction: &Transaction<'_>) -> Result<(), Error> {
    if transaction.query_one("SELECT pg_is_in_recovery()", &[]).await?.get(0) {
        return Err(Error::Unavailable(
            "this Postgres is a standby, which may be behind: audit the primary".to_owned(),
        ));
    }
    Ok(())
}

async fn read(transaction: &Transaction<'_>, seen: &Seen, epochs: Epochs, count_runs: bool) -> Result<Findings, Error> {
    let mut records = record::records(transaction).await?;
    if !records.iter().any(|record| record.epoch == seen.epoch) {
        records.push(Record { epoch: seen.epoch, ..Record::default() });
    }
    records.retain(|record| epochs.include(record.epoch, seen.epoch));
    if records.is_empty() {
        return Err(Error::Failed("nothing is recorded of a stream with that epoch".to_owned()));
    }
    let (mut odd, mut streams) = (record::odd(transaction).await?, Vec::new());
    for record in records {
        let current = record.epoch == seen.epoch;
        // Of a stream that was lost nobody knows how far it went; no less far than what was settled of it.
        let last = if current { seen.last } else { record.highest_settled };
        let (unsettled, acknowledged) = record::unsettled(transaction, record.epoch, last).await?;
        let missing = if current { seen.lacks(&unsettled) } else { unsettled.clone() };
        let waiting = unsettled.count() - missing.count();
        let settled = last - unsettled.count() - acknowledged;
        let odd = odd.extract_if(.., |odd| odd.epoch == record.epoch).collect();
        let rolled_back = false;
        streams.push(Stream { record, current, last, settled, waiting, missing, acknowledged, rolled_back, odd });
    }
    let dead_letters = if epochs == Epochs::All { Some(record::dead_letters(transaction).await?) } else { None };
    let runs = if count_runs { Some(record::runs(transaction).await?) } else { None };
    Ok(Findings { streams, dead_letters, runs })
}
