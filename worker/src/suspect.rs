//! Messages that came back again and again: perhaps they kill workers.
//!
//! The broker's own count cannot tell: it also grows by outages. So an attempt at such a message is counted in
//! Postgres before the message is looked at, which only succeeds while runs can be written, and is taken back as soon
//! as it has failed by a fault of Postgres: a worker that is killed while it waits for the next attempt has not died of
//! the message. It has an id, since the answer to either may be lost: to count it twice, or take it back twice, does so
//! once.
//!
//! ```text
//!             runs can be written               settled
//!  (in hand) ─────────────────────▶ counted ───────────────▶ (forgotten)
//!      ▲                             │   │
//!      └──── Postgres is at fault ───┘   └─ the worker dies: counted for good
//! ```

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use proto::dead_letter::raw_identity;
use tokio::{
    sync::MutexGuard,
    time::{sleep, timeout},
};
use uuid::Uuid;

use ops::postgres::Trouble;

use crate::{
    backoff::Backoff,
    database::{Database, GivenUp},
    gone::Lock,
    message::Message,
    outcome::Outcome,
    pull::Batch,
};

/// How often a worker may begin a message alone and not finish it.
const MAX_ATTEMPTS: i32 = 5;
/// Longest wait for an attempt to be taken back before the next.
const AT_MOST: Duration = Duration::from_secs(5);

/// The attempt is counted by a COMMIT of its own, which a worker that dies waiting for the answer before it never sends.
/// To be followed by the lock.
const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '30s'";

/// Inserts no run, but waits for whoever has locked them, as the lock waits for who deletes what they name; and fails where
/// they cannot be written at all.
const COUNT: &str = "
    WITH writable AS (INSERT INTO runs (id) SELECT NULL::uuid WHERE false)
    INSERT INTO suspect_messages AS counted (stream_epoch, stream_sequence, attempts, attempt_ids)
        VALUES ($1, $2, 1, ARRAY[$3::uuid])
    ON CONFLICT (stream_epoch, stream_sequence) DO UPDATE SET
        attempts = counted.attempts + ($3 <> ALL (counted.attempt_ids))::integer,
        attempt_ids = array_append(array_remove(counted.attempt_ids, $3), $3),
        last_attempt_at = now()
    RETURNING attempts, (SELECT reason FROM dead_letters WHERE identity = $4)";

const FORGET: &str = "
    DELETE FROM suspect_messages WHERE stream_epoch = $1 AND stream_sequence = $2 AND $3::uuid = ANY (attempt_ids)";

/// Updates the row whatever is in it: a condition would be looked at before a COMMIT that nobody heard of and that still
/// goes on, and this is to wait for that. Where that makes the row, there is none to wait by: one attempt stays counted.
const FORGIVE: &str = "
    UPDATE suspect_messages SET
        attempts = attempts - ($3::uuid = ANY (attempt_ids))::integer,
        attempt_ids = array_remove(attempt_ids, $3)
    WHERE stream_epoch = $1 AND stream_sequence = $2";

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

/// Waits until no other lane of this worker tries a suspect: should the worker die, only one is to blame.
pub(crate) async fn alone<'d>(batch: &Batch, database: &'d Database) -> Result<Option<MutexGuard<'d, ()>>, GivenUp> {
    if batch.suspect().is_none() {
        return Ok(None);
    }
    if let Ok(alone) = database.suspect.try_lock() {
        return Ok(Some(alone));
    }
    tracing::debug!("a message that came back waits for another");
    tokio::select! {
        alone = database.suspect.lock() => Ok(Some(alone)),
        () = database.give_up.cancelled() => Err(GivenUp),
    }
}

/// Counts an attempt where the batch is a suspect.
pub(crate) async fn clear<'a>(batch: &'a Batch, database: &Database) -> Result<Cleared<'a>, GivenUp> {
    let Some(message) = batch.suspect() else { return Ok(Cleared { batch, verdict: None }) };
    let (attempts, buried) = database.insist(|| count(batch, message, database)).await?;
    tracing::warn!(
        sequence = message.sequence,
        delivered = message.delivered,
        attempts,
        "a message came back; trying it alone"
    );
    let poison = (attempts > MAX_ATTEMPTS).then_some(Outcome::Poison(attempts - 1));
    Ok(Cleared { batch, verdict: buried.map(Outcome::Buried).or(poison) })
}

async fn count(batch: &Batch, message: &Message, database: &Database) -> Result<(i32, Option<String>), Trouble> {
    let connection = database.connection().await?;
    let statement = connection.prepare_cached(COUNT).await?;
    let (epoch, sequence) = (bigint(batch.epoch().0), bigint(message.sequence));
    connection.batch_execute(&format!("{BEGIN}; {}", Lock::Shared.take())).await?;
    let row = connection
        .query_one(&statement, &[&epoch, &sequence, &batch.attempt, &raw_identity(message.payload())])
        .await?;
    connection.batch_execute("COMMIT").await?;
    connection.keep();
    batch.counted.store(true, Ordering::Relaxed);
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Before an attempt: counts it, unless the one before it still is.
pub(crate) async fn count_again(batch: &Batch, database: &Database) -> Result<(), Trouble> {
    match batch.suspect() {
        Some(message) if !batch.counted.load(Ordering::Relaxed) => count(batch, message, database).await.map(drop),
        _ => Ok(()),
    }
}

/// After an attempt that failed by Postgres' fault: until the next one nothing counts against the message. Where
/// Postgres cannot be told so, the attempt stays counted, once.
pub(crate) async fn take_back(batch: &Batch, database: &Database) {
    let Some(attempt) = Attempt::of(batch).filter(|_| batch.counted.load(Ordering::Relaxed)) else { return };
    if let Ok(Ok(())) = timeout(AT_MOST, attempt.change(FORGIVE, database)).await {
        batch.counted.store(false, Ordering::Relaxed);
    }
}

/// Takes an attempt back, also one that may have been counted unheard: this message is put back through no fault of its
/// own. Goes on in the background until Postgres, whose fault it mostly is, can be told.
pub(crate) fn forgive(batch: &Batch, database: &Arc<Database>) {
    tell(batch, database, FORGIVE);
}

/// Counts no attempt at all: this message was read, and is for a newer worker.
pub(crate) fn forget(batch: &Batch, database: &Arc<Database>) {
    tell(batch, database, FORGET);
}

fn tell(batch: &Batch, database: &Arc<Database>, sql: &'static str) {
    let Some(attempt) = Attempt::of(batch) else { return };
    let database = Arc::clone(database);
    tokio::spawn(async move {
        let mut backoff = Backoff::default();
        while let Err(trouble) = database.once(attempt.change(sql, &database)).await {
            tracing::debug!(%trouble, "an attempt at a message is still counted");
            sleep(backoff.next()).await;
        }
    });
}

/// Names an attempt in the count.
struct Attempt {
    epoch: i64,
    sequence: i64,
    id: Uuid,
}

impl Attempt {
    fn of(batch: &Batch) -> Option<Self> {
        let sequence = bigint(batch.suspect()?.sequence);
        Some(Self { epoch: bigint(batch.epoch().0), sequence, id: batch.attempt })
    }

    async fn change(&self, sql: &str, database: &Database) -> Result<(), Trouble> {
        let connection = database.connection().await?;
        let statement = connection.prepare_cached(sql).await?;
        connection.execute(&statement, &[&self.epoch, &self.sequence, &self.id]).await?;
        connection.keep();
        Ok(())
    }
}
