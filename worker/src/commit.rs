//! One transaction for a batch.

use std::{collections::HashSet, time::Instant};

use async_nats::Subject;
use deadpool_postgres::Object;
use proto::{
    envelope::Delivery,
    reply::{self, Reply},
};
use tokio_postgres::types::ToSql;

use ops::postgres::Trouble;

use crate::{
    bury::bury,
    database::{Database, GivenUp},
    decode::{Decoded, Item},
    gone::Lock,
    insert::insert,
    lookup::look_up,
    message::Message,
    metrics::Metrics,
    outcome::{Outcome, Then},
    pull::Batch,
    suspect::{self, bigint},
};

/// A worker that is cut off must not keep others waiting for its rows for ever; a large batch must be sorted in memory;
/// and a plan that was made while a table was empty must not go on to read all of it. To be followed by the lock and the
/// savepoint.
const BEGIN: &str = "
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL statement_timeout = '30s';
    SET LOCAL idle_in_transaction_session_timeout = '10s';
    SET LOCAL work_mem = '32MB';
    SET LOCAL enable_seqscan = off";

/// From this row `audit` proves that every message of the stream was settled, and every delivery in it.
const SETTLE: &str = "
    INSERT INTO settled_sequences (stream_epoch, sequences, created, duplicates, dead_letters, announced, buried)
    SELECT $1, range_agg(int8range(sequence, sequence, '[]')), $3, $4, $5, $6, $7 FROM unnest($2::int8[]) AS sequence";

/// Dead letters of a batch that are worth a line of the log each.
const ALOUD: usize = 10;

const CLEAR_SUSPECT: &str = "DELETE FROM suspect_messages WHERE stream_epoch = $1 AND stream_sequence = $2";

/// An outcome for every delivery, not committed yet.
pub(crate) struct Settled<'d, 'a> {
    pub(crate) decoded: &'d Decoded<'a>,
    outcomes: Vec<Outcome>,
}

impl<'d, 'a> Settled<'d, 'a> {
    pub(crate) fn items(&self) -> impl Iterator<Item = (&'d Item<'a>, &Outcome)> {
        self.decoded.items().iter().zip(&self.outcomes)
    }

    fn all(&self) -> impl Iterator<Item = &Outcome> {
        let wholes = self.decoded.wholes().iter().map(|whole| &whole.outcome);
        self.outcomes.iter().chain(wholes.filter(|outcome| !matches!(outcome.then(), Then::PutBack)))
    }

    fn count(&self, wanted: fn(&Outcome) -> bool) -> i32 {
        integer(self.all().filter(|outcome| wanted(outcome)).count())
    }

    /// Deliveries that the messages are said to carry: by their headers, which were written apart from the envelopes, and
    /// only where there is none by the envelope itself. A message that is settled as a whole counts as one.
    fn announced(&self) -> i32 {
        let messages = self.decoded.batch().messages();
        let mut read = vec![0; messages.len()];
        self.decoded.items().iter().for_each(|item| read[item.message] += 1);
        let said = messages
            .iter()
            .zip(&read)
            .filter(|(_, read)| **read > 0)
            .map(|(message, read)| message.announced().unwrap_or(*read) as usize);
        let wholes = self.decoded.wholes().iter().filter(|whole| !matches!(whole.outcome.then(), Then::PutBack));
        integer(said.sum::<usize>() + wholes.count())
    }
}

/// A batch has some hundred thousand deliveries at most, by its bytes; only a header that lies says more.
fn integer(count: impl TryInto<i32>) -> i32 {
    count.try_into().unwrap_or(i32::MAX)
}

/// The proof that a batch's outcomes are in Postgres. Only [`commit`] makes one, after COMMIT was answered.
pub(crate) struct Committed<'a> {
    batch: &'a Batch,
    messages: &'a [Message],
    put_back: HashSet<usize>,
    replies: Vec<(Subject, Reply)>,
}

impl<'a> Committed<'a> {
    pub(crate) fn batch(&self) -> &'a Batch {
        self.batch
    }

    /// Messages of which every delivery has its outcome committed.
    pub(crate) fn settled(&self) -> impl Iterator<Item = &'a Message> {
        self.messages.iter().enumerate().filter(|(index, _)| !self.put_back.contains(index)).map(|(_, message)| message)
    }

    /// What to tell gateways that wait.
    pub(crate) fn replies(&mut self) -> impl Iterator<Item = (Subject, Reply)> + use<'_, 'a> {
        self.replies.drain(..)
    }

    /// Messages that are for somebody else.
    pub(crate) fn put_back(&self) -> impl Iterator<Item = &'a Message> {
        self.put_back.iter().map(|index| &self.messages[*index])
    }
}

/// Commits the outcomes of a batch, trying for as long as it takes.
pub(crate) async fn commit<'a>(
    decoded: Decoded<'a>,
    database: &Database,
    metrics: &Metrics,
) -> Result<Committed<'a>, GivenUp> {
    let batch = decoded.batch();
    let messages = batch.messages();
    let put_back = decoded.wholes().iter().filter(|whole| matches!(whole.outcome.then(), Then::PutBack));
    let put_back: HashSet<usize> = put_back.map(|whole| whole.message).collect();
    let settled = messages.iter().enumerate().filter(|(index, _)| !put_back.contains(index));
    let sequences: Vec<i64> = settled.map(|(_, message)| bigint(message.sequence)).collect();
    let mut replies = Vec::new();
    // Where all are put back there is nothing to say to Postgres.
    if !sequences.is_empty() {
        let attempt = || async {
            suspect::count_again(batch, database).await?;
            let began = Instant::now();
            let done = transactions(database, &decoded, &sequences).await;
            match &done {
                Ok(_) => metrics.commit_seconds.observe(began.elapsed().as_secs_f64()),
                Err(_) => {
                    metrics.commit_failures.inc();
                    suspect::take_back(batch, database).await;
                }
            }
            done
        };
        let settled = database.insist(attempt).await?;
        metrics.count(settled.all());
        tell(&settled);
        replies = answers(&settled);
    }
    Ok(Committed { batch, messages, put_back, replies })
}

/// Says what became of each delivery, with what its sender can find it by: of dead letters the first few aloud.
fn tell(settled: &Settled<'_, '_>) {
    let mut aloud = 0;
    for (item, outcome) in settled.items() {
        let Delivery { run_id: run, request_id, traceparent, .. } = &item.delivery;
        let (request_id, traceparent) = (request_id.as_deref(), traceparent.as_deref());
        match outcome.then() {
            Then::Bury(reason, _) if aloud < ALOUD => {
                aloud += 1;
                tracing::warn!(%run, request_id, traceparent, reason = reason.as_str(), "a delivery became a dead letter");
            }
            _ => tracing::debug!(%run, request_id, traceparent, outcome = %outcome.label(), "a delivery is settled"),
        }
    }
}

/// Of those whose gateways wait, and say where.
fn answers(settled: &Settled<'_, '_>) -> Vec<(Subject, Reply)> {
    let answer = |(item, outcome): (&Item<'_>, &Outcome)| {
        let subject = item.delivery.reply_to.as_deref().filter(|subject| reply::is_subject(subject))?;
        Some((Subject::from(subject), Reply::new(item.delivery.run_id, outcome.reply()?)))
    };
    settled.items().filter_map(answer).collect()
}

/// One in general.
async fn transactions<'d, 'a>(
    database: &Database,
    decoded: &'d Decoded<'a>,
    sequences: &[i64],
) -> Result<Settled<'d, 'a>, Trouble> {
    if let Some(settled) = transaction(database, decoded, sequences, Lock::Shared).await? {
        return Ok(settled);
    }
    transaction(database, decoded, sequences, Lock::Alone).await?.ok_or(Trouble::Unsettled)
}

/// None where what it came to may not be committed under this lock; then it was taken back.
///
/// If the connection breaks during COMMIT nobody knows whether it happened. The next attempt does: where it did, it
/// finds duplicates and dead letters that are there, and records the sequences once more.
async fn transaction<'d, 'a>(
    database: &Database,
    decoded: &'d Decoded<'a>,
    sequences: &[i64],
    lock: Lock,
) -> Result<Option<Settled<'d, 'a>>, Trouble> {
    let connection = database.connection().await?;
    let begin = format!("{BEGIN}; {}; SAVEPOINT batch", lock.take());
    let outcomes = insert(&connection, connection.batch_execute(&begin), decoded.items(), &database.targets).await?;
    ops::kill_point!(Inserted);
    let outcomes = look_up(&connection, decoded.items(), outcomes).await?;
    if !lock.allows(&outcomes) {
        connection.batch_execute("ROLLBACK").await?;
        connection.keep();
        return Ok(None);
    }
    let settled = Settled { decoded, outcomes };
    let buried = bury(&connection, &settled).await?;
    finish(&connection, &settled, sequences, buried).await?;
    connection.keep();
    Ok(Some(settled))
}

async fn finish(connection: &Object, settled: &Settled<'_, '_>, sequences: &[i64], buried: u64) -> Result<(), Trouble> {
    let batch = settled.decoded.batch();
    let epoch = bigint(batch.epoch().0);
    if let Some(message) = batch.suspect() {
        let statement = connection.prepare_cached(CLEAR_SUSPECT).await?;
        connection.execute(&statement, &[&epoch, &bigint(message.sequence)]).await?;
    }
    let created = settled.count(|outcome| *outcome == Outcome::Created);
    let duplicates = settled.count(|outcome| *outcome == Outcome::Duplicate);
    let dead =
        settled.count(|outcome| matches!(outcome.then(), Then::Bury(..)) || matches!(outcome, Outcome::Buried(_)));
    let statement = connection.prepare_cached(SETTLE).await?;
    let (announced, buried) = (settled.announced(), integer(buried));
    let row: [&(dyn ToSql + Sync); 7] = [&epoch, &sequences, &created, &duplicates, &dead, &announced, &buried];
    // One round trip for both. Where the first fails the second rolls back, and says COMMIT was well all the same: so
    // both answers count.
    let (settle, commit) = tokio::join!(connection.execute(&statement, &row), connection.batch_execute("COMMIT"));
    settle?;
    commit?;
    Ok(())
}
