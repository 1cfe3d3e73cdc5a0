//! Messages that came back again and again: perhaps they kill workers.
//!
//! The broker's own count cannot tell: it also grows by outages. So an attempt at such a message is counted in
//! Postgres before the message is looked at, which only succeeds while Postgres is well, and is taken back where the
//! message is put back for a reason that is not its own.

use proto::StreamEpoch;

use crate::{
    database::{Database, GivenUp},
    message::Message,
    pull::Batch,
    trouble::Trouble,
};

/// How often a worker may begin a message alone and not finish it.
const MAX_ATTEMPTS: i32 = 5;

const COUNT: &str = "
    INSERT INTO suspect_messages (stream_epoch, stream_sequence, attempts) VALUES ($1, $2, 1)
    ON CONFLICT (stream_epoch, stream_sequence)
        DO UPDATE SET attempts = suspect_messages.attempts + 1, last_attempt_at = now()
    RETURNING attempts";

const FORGIVE: &str = "
    UPDATE suspect_messages SET attempts = attempts - 1 WHERE stream_epoch = $1 AND stream_sequence = $2 AND attempts > 0";

/// Stream epochs and sequences as Postgres keeps them. Microseconds since 1970 fit until the year 294,000.
pub(crate) fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A batch that may be looked into, or whose only message has had its last chance.
pub(crate) struct Cleared<'a> {
    batch: &'a Batch,
    poison: Option<i32>,
}

impl<'a> Cleared<'a> {
    pub(crate) fn batch(&self) -> &'a Batch {
        self.batch
    }

    /// How often it was begun in vain, where that was too often.
    pub(crate) fn poison(&self) -> Option<i32> {
        self.poison
    }
}

/// Counts an attempt where the batch is a suspect. Done once for a message in hand, however often its commit is tried.
pub(crate) async fn clear<'a>(batch: &'a Batch, database: &Database) -> Result<Cleared<'a>, GivenUp> {
    let Some(message) = batch.suspect() else { return Ok(Cleared { batch, poison: None }) };
    let attempts = database.insist(|| count(database, batch.epoch(), message)).await?;
    tracing::warn!(
        sequence = message.sequence,
        delivered = message.delivered,
        attempts,
        "a message came back; trying it alone"
    );
    Ok(Cleared { batch, poison: (attempts > MAX_ATTEMPTS).then_some(attempts - 1) })
}

async fn count(database: &Database, epoch: StreamEpoch, message: &Message) -> Result<i32, Trouble> {
    let connection = database.connection().await?;
    let statement = connection.prepare_cached(COUNT).await?;
    let row = connection.query_one(&statement, &[&bigint(epoch.0), &bigint(message.sequence)]).await?;
    connection.keep();
    Ok(row.try_get(0)?)
}

/// Takes an attempt back, if Postgres can be told: this message is put back through no fault of its own.
pub(crate) async fn forgive(batch: &Batch, database: &Database) {
    let Some(message) = batch.suspect() else { return };
    let forgive = async {
        let connection = database.connection().await?;
        let statement = connection.prepare_cached(FORGIVE).await?;
        connection.execute(&statement, &[&bigint(batch.epoch().0), &bigint(message.sequence)]).await?;
        connection.keep();
        Ok::<(), Trouble>(())
    };
    if let Err(trouble) = forgive.await {
        tracing::debug!(%trouble, "an attempt at a message stays counted");
    }
}
