//! Messages that came back again and again: perhaps they kill workers.
//!
//! The broker's own count cannot tell: it also grows by outages. So an attempt at such a message is counted in
//! Postgres before the message is looked at, which only succeeds while Postgres is well, and is taken back where the
//! message is put back for a reason that is not its own.

use std::sync::Arc;

use proto::{StreamEpoch, dead_letter::raw_identity};
use tokio::time::sleep;

use crate::{
    backoff::Backoff,
    database::{Database, GivenUp},
    message::Message,
    outcome::Outcome,
    pull::Batch,
    trouble::Trouble,
};

/// How often a worker may begin a message alone and not finish it.
const MAX_ATTEMPTS: i32 = 5;

const COUNT: &str = "
    INSERT INTO suspect_messages (stream_epoch, stream_sequence, attempts) VALUES ($1, $2, 1)
    ON CONFLICT (stream_epoch, stream_sequence)
        DO UPDATE SET attempts = suspect_messages.attempts + 1, last_attempt_at = now()
    RETURNING attempts, (SELECT reason FROM dead_letters WHERE identity = $3)";

const FORGET: &str = "DELETE FROM suspect_messages WHERE stream_epoch = $1 AND stream_sequence = $2";

const FORGIVE: &str = "
    UPDATE suspect_messages SET attempts = attempts - 1 WHERE stream_epoch = $1 AND stream_sequence = $2 AND attempts > 0";

/// Stream epochs and sequences as Postgres keeps them. Microseconds since 1970 fit until the year 294,000.
pub(crate) fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A batch that may be looked into, or whose only message has had its last chance.
pub(crate) struct Cleared<'a> {
    batch: &'a Batch,
    verdict: Option<Outcome>,
}

impl<'a> Cleared<'a> {
    pub(crate) fn batch(&self) -> &'a Batch {
        self.batch
    }

    /// What becomes of its only message without a look into it, where that is so: it was begun too often, or was buried
    /// as it is before and its ack got lost.
    pub(crate) fn verdict(&self) -> Option<&Outcome> {
        self.verdict.as_ref()
    }
}

/// Counts an attempt where the batch is a suspect. Done once for a message in hand, however often its commit is tried.
pub(crate) async fn clear<'a>(batch: &'a Batch, database: &Database) -> Result<Cleared<'a>, GivenUp> {
    let Some(message) = batch.suspect() else { return Ok(Cleared { batch, verdict: None }) };
    let (attempts, buried) = database.insist(|| count(database, batch.epoch(), message)).await?;
    tracing::warn!(
        sequence = message.sequence,
        delivered = message.delivered,
        attempts,
        "a message came back; trying it alone"
    );
    let poison = (attempts > MAX_ATTEMPTS).then_some(Outcome::Poison(attempts - 1));
    Ok(Cleared { batch, verdict: buried.map(Outcome::Buried).or(poison) })
}

async fn count(database: &Database, epoch: StreamEpoch, message: &Message) -> Result<(i32, Option<String>), Trouble> {
    let connection = database.connection().await?;
    let statement = connection.prepare_cached(COUNT).await?;
    let identity = raw_identity(message.payload());
    let row = connection.query_one(&statement, &[&bigint(epoch.0), &bigint(message.sequence), &identity]).await?;
    connection.keep();
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Takes an attempt back: this message is put back through no fault of its own. Goes on in the background until
/// Postgres, whose fault it mostly is, can be told.
pub(crate) fn forgive(batch: &Batch, database: &Arc<Database>) {
    tell(batch, database, FORGIVE);
}

/// Counts no attempt at all: this message was read, and is for a newer worker.
pub(crate) fn forget(batch: &Batch, database: &Arc<Database>) {
    tell(batch, database, FORGET);
}

fn tell(batch: &Batch, database: &Arc<Database>, sql: &'static str) {
    let Some(message) = batch.suspect() else { return };
    let (epoch, sequence, database) = (bigint(batch.epoch().0), bigint(message.sequence), Arc::clone(database));
    tokio::spawn(async move {
        let mut backoff = Backoff::default();
        while let Err(trouble) = database.once(execute(&database, sql, epoch, sequence)).await {
            tracing::debug!(%trouble, "an attempt at a message is still counted");
            sleep(backoff.next()).await;
        }
    });
}

async fn execute(database: &Database, sql: &str, epoch: i64, sequence: i64) -> Result<(), Trouble> {
    let connection = database.connection().await?;
    let statement = connection.prepare_cached(sql).await?;
    connection.execute(&statement, &[&epoch, &sequence]).await?;
    connection.keep();
    Ok(())
}
