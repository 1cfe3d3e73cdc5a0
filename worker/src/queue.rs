//! The queue as the lanes see it: which incarnation of the stream is being pulled from.
//!
//! ```text
//!             found or made                     reconnected, deleted, silent, or other than it was
//!  (unknown) ───────────────▶ Attached{epoch} ─────────────────────────────────────────────────────▶ (unknown)
//! ```
//!
//! Lanes pull only while it is known. Sequences mean nothing without the stream's epoch, so the consumer is named after
//! it: what is pulled and what is acked under that name is of that stream and no other.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::{Client, connection::State as Connection, jetstream::Context};
use futures_util::StreamExt;
use proto::{
    StreamEpoch,
    queue::{STREAM, advisories, tells_of_recreation},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{
    config::Config,
    database::Database,
    forgotten::{Forgotten, Look},
    known::make_known,
    metrics::Metrics,
    stream,
};

/// How often the stream is looked at while all is well: refreshes the gauge of waiting time.
const LOOK: Duration = Duration::from_secs(2);
/// Pause after a failed attempt to attach.
const PAUSE: Duration = Duration::from_millis(250);

/// A stream and consumer that are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Attached {
    /// The stream's epoch.
    pub(crate) epoch: StreamEpoch,
    /// The same moment in nanoseconds since 1970.
    created: i128,
    /// Ack wait in force.
    pub(crate) ack_wait: Duration,
}

/// Shared by all lanes.
pub(crate) struct Queue {
    pub(crate) client: Client,
    pub(crate) context: Context,
    config: Config,
    database: Arc<Database>,
    metrics: Arc<Metrics>,
    attached: watch::Sender<Option<Attached>>,
    trouble: Mutex<Option<String>>,
}

impl Queue {
    pub(crate) fn new(client: Client, config: Config, database: Arc<Database>, metrics: Arc<Metrics>) -> Self {
        let context = async_nats::jetstream::new(client.clone());
        let trouble = Mutex::new(Some("not connected yet".to_owned()));
        Self { client, context, config, database, metrics, attached: watch::Sender::new(None), trouble }
    }

    /// Waits until there is something to pull from.
    pub(crate) async fn attached(&self) -> Attached {
        let mut attached = self.attached.subscribe();
        loop {
            if let Some(attached) = *attached.borrow_and_update() {
                return attached;
            }
            // Cannot fail: the sender is in `self`.
            _ = attached.changed().await;
        }
    }

    /// Something happened after which stream and consumer may be others than before, or gone.
    pub(crate) fn doubt(&self) {
        self.attached.send_replace(None);
    }

    /// Why nothing can be pulled, for readiness.
    pub(crate) fn trouble(&self) -> Option<String> {
        // Known at once; a request that is not answered only tells after its time-out.
        if self.client.connection_state() != Connection::Connected {
            return Some("not connected".to_owned());
        }
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_trouble(&self, trouble: Option<String>) {
        let mut now = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != trouble {
            match &trouble {
                Some(trouble) => tracing::warn!(trouble, "nothing can be pulled"),
                None => tracing::info!("attached to the queue"),
            }
            *now = trouble;
        }
    }

    /// Attaches, and attaches again whenever there is doubt. Never ends.
    pub(crate) async fn keep_attached(&self) {
        let mut last: Option<Attached> = None;
        let mut forgotten = None;
        let mut watch = self.attached.subscribe();
        loop {
            match self.attach(last).await {
                Ok(attached) => {
                    // Of the same stream it is still known what was seen.
                    if last.is_none_or(|last| last.epoch != attached.epoch) {
                        make_known(attached.epoch, &self.database);
                        forgotten = None;
                    }
                    let forgotten = forgotten.get_or_insert_with(|| Forgotten::new(attached.ack_wait));
                    last = Some(attached);
                    self.set_trouble(None);
                    self.attached.send_replace(last);
                    while watch.borrow_and_update().is_some() {
                        _ = timeout(LOOK, watch.changed()).await;
                        self.look(attached, forgotten).await;
                    }
                }
                Err(error) => {
                    self.set_trouble(Some(error.to_string()));
                    sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
                }
            }
        }
    }

    async fn attach(&self, last: Option<Attached>) -> Result<Attached, stream::Trouble> {
        let found = match stream::find(&self.context, &self.config, last.is_none()).await? {
            Some(found) => found,
            None => self.make().await?,
        };
        let created = found.stream.created.unix_timestamp_nanos();
        let epoch = StreamEpoch::from_unix_nanos(created);
        self.metrics.streams_created.inc_by(u64::from(found.made_stream));
        self.metrics.consumers_created.inc_by(u64::from(found.made_consumer));
        match (found.made_stream, found.made_consumer, last.is_some()) {
            (true, _, false) => tracing::warn!(%epoch, "made stream {STREAM}: expected only when Runlatch is new here"),
            (true, _, true) => {
                tracing::error!(%epoch, "made stream {STREAM} anew: what the old one held comes back by retries only");
            }
            (false, true, _) => tracing::error!("made the consumer anew: what was in hand comes again"),
            (false, false, _) => {}
        }
        Ok(Attached { epoch, created, ack_wait: found.ack_wait })
    }

    /// One worker makes, the others wait and find. While Postgres is away, which should keep them apart, they come at
    /// different times at least.
    async fn make(&self) -> Result<stream::Found, stream::Trouble> {
        let lock = self.database.lock_queue().await;
        // A deletion is announced before it is complete.
        sleep(if lock.is_ok() { PAUSE } else { LOOK.mul_f64(0.25 + fastrand::f64()) }).await;
        let made = stream::make(&self.context, &self.config).await;
        if let Ok(lock) = lock {
            lock.release().await;
        }
        made
    }

    async fn look(&self, attached: Attached, forgotten: &mut Forgotten) {
        // The consumer first: its floor only rises, so that a message below it which is still there afterwards is there for
        // good.
        let consumer = stream::cursor(&self.context, attached.epoch).await;
        match stream::look(&self.context).await {
            Ok(Some(info)) if info.created.unix_timestamp_nanos() == attached.created => {
                let first = (info.state.messages > 0).then_some(info.state.first_sequence);
                let waiting = first.map_or(0.0, |_| age(info.state.first_timestamp.unix_timestamp_nanos()));
                self.metrics.oldest_waiting.set(waiting);
                let look = Look { first, consumer, usable: self.database.trouble().is_none() };
                if forgotten.saw(look, Instant::now()) {
                    tracing::error!(
                        sequence = first,
                        "the consumer seems to have forgotten a message that the stream holds; making it anew"
                    );
                    // Safe whatever it has in hand: that comes again, and is a duplicate then.
                    stream::delete_consumer(&self.context, attached.epoch).await;
                    self.doubt();
                }
            }
            // Gone, another one, or no answer.
            _ => self.doubt(),
        }
    }

    /// The broker tells when a stream is made or deleted, before anything can be pulled from the new one. Never ends.
    pub(crate) async fn listen_for_recreation(&self) {
        loop {
            if let Ok(mut events) = self.client.subscribe(advisories()).await {
                while let Some(event) = events.next().await {
                    if tells_of_recreation(&event.subject) {
                        self.doubt();
                    }
                }
            }
            sleep(PAUSE).await;
        }
    }
}

/// Seconds since `nanos` after 1970; 0 where the broker's clock is ahead.
fn age(nanos: i128) -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))).as_secs_f64()
}
