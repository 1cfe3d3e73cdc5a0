//! The life of a message: pull → clear → decode → commit → ack, and a reply to who waits for it.
//!
//! Each step takes what only the step before it can make. A worker may die between any two of them, and the message
//! comes again: before COMMIT nothing has happened, after it every delivery is a duplicate (I1, I3).

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    commit::{Committed, commit},
    database::{Database, GivenUp},
    decode::{Decoded, decode},
    metrics::Metrics,
    pull::{Batch, Puller},
    queue::Queue,
    suspect::{self, Cleared},
};

/// A message for newer workers is offered again after this long.
const TOO_NEW: Duration = Duration::from_secs(30);
/// So is one that this worker could not commit for too long; another worker takes it meanwhile.
const HELD_TOO_LONG: Duration = Duration::from_secs(1);

/// How long a reply may take to be taken from us, which is at once unless the broker is away.
const REPLY: Duration = Duration::from_millis(100);

/// How long a batch may keep other lanes from pulling.
const TURN: Duration = Duration::from_millis(50);
/// Time from one pull to the next, unless more waits than fits into a batch. Each commit costs Postgres something beside its
/// rows, so what comes within a moment is committed together; what comes after a pause is pulled at once.
const PACE: Duration = Duration::from_millis(10);

/// One batch after the other.
pub(crate) struct Lane {
    pub(crate) queue: Arc<Queue>,
    pub(crate) database: Arc<Database>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) puller: Puller,
    /// Whose turn it is to pull.
    pub(crate) turn: Arc<Semaphore>,
    pub(crate) stop: CancellationToken,
}

impl Lane {
    /// Until the worker stops. Pulls only what it can expect to commit, and nothing while it has a batch in hand.
    pub(crate) async fn run(mut self) {
        loop {
            let turn = Arc::clone(&self.turn);
            let (turn, attached) = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                ready = async {
                    // Never closed, so that there is always a turn.
                    let turn = turn.acquire().await.ok();
                    self.database.usable().await;
                    (turn, self.queue.attached().await)
                } => ready,
            };
            let pulled = self.puller.pull(attached).await;
            let mut pace = pin!(sleep(PACE));
            // Where more waits than fits, the next lane pulls meanwhile. Where not, what comes until this is committed is
            // better committed together; but not if that takes long.
            let mut turn = turn.filter(|_| !pulled.more);
            let (batches, settled) = (pulled.batches, AtomicUsize::new(0));
            let mut settling = pin!(self.settle_all(&batches, &settled));
            let mut keeping = pin!(keep_in_hand(&batches, &settled, attached.ack_wait / 3));
            let mut patience = pin!(sleep(TURN));
            loop {
                tokio::select! {
                    biased;
                    () = &mut settling => break,
                    () = &mut patience, if turn.is_some() => turn = None,
                    () = &mut keeping => {}
                }
            }
            if turn.is_some() && !batches.is_empty() {
                tokio::select! {
                    () = &mut pace => {}
                    () = self.stop.cancelled() => {}
                }
            }
        }
    }

    /// The life of each message in hand, in the order in which it happens.
    async fn settle<'a>(&self, batch: &'a Batch) -> Result<(), GivenUp> {
        ops::kill_point!(Pulled);
        let _alone = suspect::alone(batch, &self.database).await?;
        let cleared: Cleared<'a> = suspect::clear(batch, &self.database).await?;
        ops::kill_point!(Cleared);
        let decoded: Decoded<'a> = decode(cleared);
        let mut committed: Committed<'a> = commit(decoded, &self.database, &self.metrics).await?;
        ops::kill_point!(Committed);
        self.ack(&committed).await;
        self.reply(&mut committed).await;
        Ok(())
    }

    /// Tells the gateways that wait. Whom this does not reach answers without: nobody waits for a worker for long.
    async fn reply(&self, committed: &mut Committed<'_>) {
        for (subject, reply) in committed.replies() {
            let told = self.queue.client.publish(subject, reply.encode().into());
            if timeout(REPLY, told).await.is_err() {
                break;
            }
        }
    }

    async fn ack(&self, committed: &Committed<'_>) {
        for message in committed.settled() {
            message.ack(committed).await;
            ops::kill_point!(Acked, self.queue.client.flush());
        }
        for message in committed.put_back() {
            tracing::error!(sequence = message.sequence, "a message needs a newer worker; put back");
            self.metrics.unsupported_versions.inc();
            message.put_back(TOO_NEW).await;
            suspect::forget(committed.batch(), &self.database);
        }
    }

    async fn settle_all(&self, batches: &[Batch], settled: &AtomicUsize) {
        for (index, batch) in batches.iter().enumerate() {
            let again = batch.messages().iter().filter(|message| message.delivered > 1).count();
            self.metrics.redeliveries.inc_by(again as u64);
            if let Err(GivenUp) = self.settle(batch).await {
                // Nothing may call back to hand what is put back.
                settled.store(batches.len(), Ordering::Relaxed);
                return self.put_back(&batches[index..]).await;
            }
            settled.store(index + 1, Ordering::Relaxed);
        }
    }

    async fn put_back(&self, batches: &[Batch]) {
        let delay = if self.stop.is_cancelled() { Duration::ZERO } else { HELD_TOO_LONG };
        for message in batches.iter().flat_map(Batch::messages) {
            self.metrics.put_back.inc();
            message.put_back(delay).await;
        }
        // Only the first was begun.
        if let Some(batch) = batches.first() {
            suspect::forgive(batch, &self.database);
        }
    }
}

/// Says of everything in hand that it is being worked on, or the broker would give it to another worker too. Never ends.
async fn keep_in_hand(batches: &[Batch], settled: &AtomicUsize, every: Duration) {
    loop {
        sleep(every).await;
        for message in batches.iter().skip(settled.load(Ordering::Relaxed)).flat_map(Batch::messages) {
            message.in_progress().await;
        }
    }
}
