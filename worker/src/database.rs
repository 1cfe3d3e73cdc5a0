//! Postgres: the pool, whether it can be used, and the will to try again.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use ops::postgres::{Connection, Trouble};

use crate::{
    backoff::Backoff, gone::Lock, queue_lock::QueueLock, session::Sessions, stalled::Stalled, targets::Targets,
};

/// Key of the advisory lock, this application's own ("runlatch" in ASCII).
const QUEUE_LOCK: i64 = 0x7275_6e6c_6174_6368;
const CONNECT: Duration = Duration::from_secs(5);
/// An attempt that takes longer is given up on this side too: a connection can die without a word to either end. So is one
/// that takes longer than a batch may be held.
const ATTEMPT: Duration = Duration::from_secs(60);
/// How often Postgres is asked whether it is there.
const PROBE: Duration = Duration::from_secs(1);

/// Inserts no row, waits for what an insertion into `runs` would wait for, and fails of what it would fail of: no table, no
/// right, a server or a role that takes no writes. Those who wait for the lock alone give up sooner (`gone.rs`). Gives up sooner than a session does by itself (`session.rs`), and for the same reason.
fn probe_runs() -> String {
    let lock = Lock::Shared.take();
    format!(
        "BEGIN; SET LOCAL statement_timeout = '4s'; {lock};
         INSERT INTO runs (id, fingerprint) SELECT id, fingerprint FROM runs LIMIT 0; COMMIT"
    )
}

/// The worker stops, or has held the batch for as long as it may.
pub(crate) struct GivenUp;

#[derive(Default)]
struct Health {
    /// Lanes that hold a batch which cannot be committed.
    stuck: usize,
    /// Why the last attempt to write failed; cleared by one that succeeds.
    write: Option<Trouble>,
    /// Why the last probe failed.
    probe: Option<Trouble>,
}

/// Shared by all lanes.
pub(crate) struct Database {
    pool: Pool,
    health: Mutex<Health>,
    usable: watch::Sender<bool>,
    max_hold: Duration,
    /// Those that batches have found in the catalog.
    pub(crate) targets: Targets,
    /// Held by the lane that tries a suspect.
    pub(crate) suspect: tokio::sync::Mutex<()>,
    /// Cancelled when a stopping worker must put back what it holds.
    pub(crate) give_up: CancellationToken,
}

impl Database {
    pub(crate) fn new(mut config: tokio_postgres::Config, lanes: usize, max_hold: Duration) -> Self {
        config.connect_timeout(CONNECT).tcp_user_timeout(ATTEMPT / 2).keepalives_idle(ATTEMPT / 4);
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(config, Sessions::new(), recycling);
        // One more for each of the probe, the lock, compaction and what is said of suspects, or they would make each other
        // wait. Every wait is bounded: a server that is away is to be noticed.
        let pool = Pool::builder(manager).max_size(lanes + 4).runtime(Runtime::Tokio1);
        let pool = pool.wait_timeout(Some(CONNECT)).create_timeout(Some(CONNECT)).recycle_timeout(Some(CONNECT));
        let pool = pool.build().expect("a pool with timeouts needs a runtime, and has one");
        let health = Health { probe: Some(Trouble::Connection("not tried yet".to_owned())), ..Health::default() };
        let give_up = CancellationToken::new();
        let (health, usable, suspect) = (Mutex::new(health), watch::Sender::new(false), tokio::sync::Mutex::new(()));
        Self { pool, health, usable, max_hold, targets: Targets::default(), suspect, give_up }
    }

    /// A connection of one's own.
    pub(crate) async fn connection(&self) -> Result<Connection, Trouble> {
        Ok(self.pool.get().await?.into())
    }

    /// Waits until no other worker is making the queue's stream. Given up with the connection, at the latest.
    pub(crate) async fn lock_queue(&self) -> Result<QueueLock, Trouble> {
        let connection = timeout(CONNECT, self.connection()).await.unwrap_or(Err(Trouble::Slow))?;
        let lock = format!("BEGIN; SET LOCAL statement_timeout = '15s'; SELECT pg_advisory_xact_lock({QUEUE_LOCK})");
        timeout(ATTEMPT / 2, connection.batch_execute(&lock)).await.map_err(|_| Trouble::Slow)??;
        Ok(QueueLock(connection))
    }

    /// One attempt, bounded. What waits for ever keeps its connection for ever, and the pool has none to spare.
    pub(crate) async fn once<T>(&self, attempt: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        timeout(ATTEMPT.min(self.max_hold), attempt).await.unwrap_or(Err(Trouble::Slow))
    }

    /// Tries until it succeeds, with pauses that grow. An attempt must be safe to repeat: the answer to its COMMIT may
    /// have been lost.
    pub(crate) async fn insist<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, GivenUp>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let (mut backoff, mut stuck) = (Backoff::default(), None);
        let until = Instant::now() + self.max_hold;
        loop {
            let trouble = match self.once(attempt()).await {
                Ok(done) => {
                    self.change(|health| health.write = None);
                    return Ok(done);
                }
                Err(trouble) => trouble,
            };
            stuck.get_or_insert_with(|| Stuck::new(self));
            tracing::warn!(%trouble, "nothing is committed; trying again");
            self.change(|health| health.write = Some(trouble));
            tokio::select! {
                () = sleep(backoff.next()) => {}
                () = self.give_up.cancelled() => return Err(GivenUp),
            }
            if Instant::now() >= until {
                // Another worker's to try. Whether this one is well, its next batch will tell.
                self.change(|health| health.write = None);
                return Err(GivenUp);
            }
        }
    }

    /// Waits until there is no reason to believe that a batch could not be committed.
    pub(crate) async fn usable(&self) {
        // Cannot fail: the sender is in `self`.
        _ = self.usable.subscribe().wait_for(|usable| *usable).await;
    }

    /// What is wrong, for readiness.
    pub(crate) fn trouble(&self) -> Option<String> {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.write.as_ref().or(health.probe.as_ref()).map(ToString::to_string)
    }

    /// Asks Postgres again and again. Never ends.
    pub(crate) async fn probe(&self) {
        let mut stalled = Stalled::default();
        loop {
            let answer = timeout(CONNECT, self.ask()).await.unwrap_or(Err(Trouble::Slow));
            let pause = if answer.is_ok() { PROBE } else { PROBE.mul_f64(0.1 + 0.4 * fastrand::f64()) };
            if answer.is_err() {
                // What this connection died of, the idle ones may have died of too, and each would cost a batch an attempt.
                self.pool.retain(|_, _| false);
            }
            // Also where the probe waits in vain: for what such a session holds, perhaps.
            if !matches!(answer, Err(Trouble::Connection(_))) {
                let ended = timeout(CONNECT, stalled.end(self)).await.unwrap_or(Err(Trouble::Slow));
                _ = ended
                    .inspect_err(|trouble| tracing::debug!(%trouble, "could not look for sessions that are silent"));
            }
            self.change(|health| health.probe = answer.err());
            sleep(pause).await;
        }
    }

    /// In a batch's own terms, so that a schema that is not there counts as absence.
    async fn ask(&self) -> Result<(), Trouble> {
        let connection = self.connection().await?;
        connection.batch_execute(&probe_runs()).await?;
        connection.keep();
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&mut Health)) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let before = health.probe.clone();
        change(&mut health);
        if health.probe != before {
            match &health.probe {
                Some(trouble) => tracing::warn!(%trouble, "postgres cannot be used"),
                None => tracing::info!("postgres can be used"),
            }
        }
        let usable = health.stuck == 0 && health.probe.is_none();
        self.usable.send_if_modified(|now| std::mem::replace(now, usable) != usable);
    }
}

/// While it lives, no lane pulls.
struct Stuck<'a>(&'a Database);

impl<'a> Stuck<'a> {
    fn new(database: &'a Database) -> Self {
        database.change(|health| health.stuck += 1);
        Self(database)
    }
}

impl Drop for Stuck<'_> {
    fn drop(&mut self) {
        self.0.change(|health| health.stuck -= 1);
    }
}
