//! The queue as the gateway sees it: is it there, which incarnation is it, and is there room?

mod trouble;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_nats::connection::State as Connection;
use async_nats::jetstream::{self, context::GetStreamErrorKind};
use async_nats::{Client, ConnectOptions, Event, ServerAddr, Statistics};
use futures_util::StreamExt;
use proto::{StreamEpoch, queue};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use self::trouble::Trouble;

/// How often the stream's state is read.
const LOOK: Duration = Duration::from_secs(1);
/// Between looks at a stream that is to be drained.
const DRAIN: Duration = Duration::from_millis(20);
/// What was seen longer ago than this is not known any more.
const BLIND: Duration = Duration::from_secs(10);

/// What was last seen of the stream.
#[derive(Clone, Copy, Debug)]
struct Seen {
    present: bool,
    /// The last one that was there.
    epoch: StreamEpoch,
    /// The connection, by its number, over which that was seen; none once there is doubt.
    connection: Option<u64>,
    /// Bytes that the stream holds.
    bytes: u64,
    messages: u64,
    /// When that was.
    at: Option<Instant>,
    /// True if the broker has not answered since, although it is connected.
    silent: bool,
}

impl Seen {
    /// What may be believed of it over this connection, or after it.
    fn epoch(&self, connection: u64) -> StreamEpoch {
        let confirmed = self.connection == Some(connection);
        if self.present && confirmed { self.epoch } else { StreamEpoch::UNKNOWN }
    }
}

/// Why a message was not acknowledged that may be in the stream nevertheless.
pub(crate) const LATE: &str = "nats: publish was not acknowledged in time";

/// A connection to NATS and what is known of the stream. Clones share both.
#[derive(Clone)]
pub struct Queue {
    client: Client,
    jetstream: jetstream::Context,
    seen: watch::Sender<Seen>,
    /// Counts connections.
    statistics: Arc<Statistics>,
    /// Counts disconnects; whoever awaits an acknowledgement watches it.
    disconnects: watch::Receiver<u64>,
    look: Arc<Notify>,
    trouble: Arc<Trouble>,
    /// True if that was for want of an answer, and the broker has not answered anything since.
    unanswered: Arc<AtomicBool>,
    /// Bytes that the stream may hold before intake stops.
    budget: u64,
    /// Held by who looks where it begins, for others' questions: the broker has enough to do.
    looking: Arc<tokio::sync::Mutex<()>>,
}

impl Queue {
    /// Begins to connect, and keeps at it in the background for as long as it takes.
    pub async fn connect(
        servers: Vec<ServerAddr>,
        budget: u64,
        ack_patience: Duration,
    ) -> Result<Self, async_nats::ConnectError> {
        let (disconnected, disconnects) = watch::channel(0);
        let failure = ops::News::default();
        let look = Arc::new(Notify::new());
        let poke = Arc::clone(&look);
        let client = ConnectOptions::new()
            .name("runlatch-gateway")
            .retry_on_initial_connect()
            .connection_timeout(Duration::from_secs(2))
            // A connection that died without a word is noticed after three of these; until then each delivery waits for its
            // acknowledgement in vain.
            .ping_interval(Duration::from_secs(3))
            .reconnect_delay_callback(pause)
            .event_callback(move |event| {
                match event {
                    Event::Disconnected => {
                        tracing::warn!("nats: disconnected; refusing new deliveries");
                        disconnected.send_modify(|count| *count += 1);
                    }
                    Event::Connected => {
                        failure.over();
                        tracing::info!("nats: connected");
                        poke.notify_one();
                    }
                    // Nobody is there, a wrong password, or a server of another age: for each attempt to connect.
                    Event::ClientError(error) if failure.is_new(&error) => tracing::warn!(%error, "nats"),
                    Event::ServerError(error) if failure.is_new(&error) => tracing::warn!(%error, "nats"),
                    event => tracing::debug!(%event, "nats"),
                }
                async {}
            })
            .connect(servers)
            .await?;
        let jetstream = jetstream::ContextBuilder::new().timeout(ack_patience).build(client.clone());
        let seen = watch::Sender::new(Seen {
            present: false,
            epoch: StreamEpoch::UNKNOWN,
            connection: None,
            bytes: 0,
            messages: 0,
            at: None,
            silent: false,
        });
        let statistics = client.statistics();
        let (trouble, unanswered, looking) = Default::default();
        Ok(Self { client, jetstream, seen, statistics, disconnects, look, trouble, unanswered, budget, looking })
    }

    /// Why nothing can be published now, if so.
    pub fn refuses(&self) -> Option<&'static str> {
        if self.client.connection_state() != Connection::Connected {
            return Some("nats: not connected");
        }
        let seen = *self.seen.borrow();
        // A connection to a broker that hangs lasts until a few pings are unanswered.
        if seen.silent {
            return Some("nats: no answer, and the last message was not acknowledged in time");
        }
        if seen.at.is_none() {
            return Some("nats: stream RUNS was not seen yet (is JetStream enabled?)");
        }
        if !seen.present {
            return Some("nats: stream RUNS does not exist (a worker makes it)");
        }
        // Ahead of the broker: a stream bounded by bytes would, in servers before the fix of nats-server#4771, delete
        // from its front what was accepted.
        if seen.bytes >= self.budget / 10 * 9 {
            return Some("nats: stream RUNS is at 90 % of its byte budget");
        }
        None
    }

    /// Notes the fate of a message that was sent.
    pub(crate) fn note(&self, trouble: Option<&'static str>) {
        self.unanswered.store(trouble == Some(LATE), Ordering::Relaxed);
        self.trouble.note(trouble);
    }

    /// What is wrong with the queue although it seems to be there.
    pub fn trouble(&self) -> Option<&'static str> {
        let blind = self.seen.borrow().at.is_some_and(|at| at.elapsed() > BLIND);
        self.trouble
            .now()
            .or(blind.then_some("nats: the stream's state cannot be read; its byte budget is not guarded"))
    }

    /// The incarnation of the stream that is there: what a mark must name to be believed. Unknown where there may be
    /// another than was seen, after a reconnect most of all: a broker that has lost its disk comes back without it.
    /// While it is away the last one counts, so that what is known to be published keeps its answer; unless there was
    /// doubt already.
    pub fn epoch(&self) -> StreamEpoch {
        self.seen.borrow().epoch(self.connection())
    }

    /// Number of the connection, or of the last one while there is none. The next one has another before it can be used.
    fn connection(&self) -> u64 {
        self.statistics.connects.load(Ordering::Relaxed)
    }

    /// Messages and bytes that the stream held when it was last looked at.
    pub fn depth(&self) -> (u64, u64) {
        let seen = self.seen.borrow();
        (seen.messages, seen.bytes)
    }

    /// Waits until all that was published before this call has left the stream, which is when it is settled. False where that cannot
    /// be told, or takes longer.
    pub(crate) async fn drained(&self, patience: Duration) -> bool {
        let drained = async {
            let (created, _, last) = self.extent().await?;
            loop {
                let (now, first, _) = self.extent().await?;
                // What another one holds says nothing of what this one held.
                if now != created || first > last {
                    return (now == created).then_some(());
                }
                sleep(DRAIN).await;
            }
        };
        timeout(patience, drained).await.ok().flatten().is_some()
    }

    /// When the stream was created, and where it begins and ends; where it is empty, it begins behind its end.
    async fn extent(&self) -> Option<(i128, u64, u64)> {
        let _one_at_a_time = self.looking.lock().await;
        let stream = self.jetstream.get_stream(queue::STREAM).await.ok()?;
        let (info, state) = (stream.cached_info(), &stream.cached_info().state);
        let first = if state.messages == 0 { u64::MAX } else { state.first_sequence };
        Some((info.created.unix_timestamp_nanos(), first, state.last_sequence))
    }

    /// The broker's largest message, in bytes, headers included; none before the first connection.
    pub fn max_payload(&self) -> Option<usize> {
        // Not by the connection's state, which is `Connected` a moment before the server's settings are there to be read.
        self.client.try_server_info().map(|info| info.max_payload)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn jetstream(&self) -> &jetstream::Context {
        &self.jetstream
    }

    pub(crate) fn disconnects(&self) -> watch::Receiver<u64> {
        self.disconnects.clone()
    }

    /// Keeps looking at the stream: every second, after a reconnect, and when the broker says that something happened
    /// to it. Ends only by being dropped.
    pub async fn watch(&self) {
        // Best effort: without the right to see advisories, the look each second finds the same a little later.
        let mut advisories = loop {
            match self.client.subscribe(queue::advisories()).await {
                Ok(advisories) => break advisories,
                Err(_) => sleep(LOOK).await,
            }
        };
        loop {
            self.look_once().await;
            self.trouble.tell();
            tokio::select! {
                () = sleep(LOOK) => {}
                () = self.look.notified() => {}
                // Until it has been looked at again, marks are not believed.
                Some(advisory) = advisories.next() => if queue::tells_of_recreation(&advisory.subject) {
                    self.seen.send_modify(|seen| seen.connection = None);
                },
            }
        }
    }

    async fn look_once(&self) {
        if self.client.connection_state() != Connection::Connected {
            return;
        }
        let connection = Some(self.connection());
        let now = Instant::now();
        let at = Some(now);
        let before = *self.seen.borrow();
        let seen = match timeout(LOOK, self.jetstream.get_stream(queue::STREAM)).await {
            Ok(Ok(stream)) => {
                let info = stream.cached_info();
                let epoch = StreamEpoch::from_unix_nanos(info.created.unix_timestamp_nanos());
                let (bytes, messages) = (info.state.bytes, info.state.messages);
                Seen { present: true, epoch, connection, bytes, messages, at, silent: false }
            }
            Ok(Err(error)) if is_missing(&error) => {
                let epoch = before.epoch;
                Seen { present: false, epoch, connection, bytes: 0, messages: 0, at, silent: false }
            }
            // An answer, which says nothing about the stream. Publishing will show.
            Ok(Err(error)) if matches!(error.kind(), GetStreamErrorKind::JetStream(_)) => {
                self.unanswered.store(false, Ordering::Relaxed);
                self.seen.send_modify(|seen| seen.silent = false);
                return;
            }
            // Busy, leaderless or hanging: that too is for publishing to show.
            Ok(Err(_)) | Err(_) => {
                let silent = self.unanswered.load(Ordering::Relaxed);
                self.seen.send_modify(|seen| seen.silent = silent);
                return;
            }
        };
        self.unanswered.store(false, Ordering::Relaxed);
        self.seen.send_replace(seen);
        if before.epoch != StreamEpoch::UNKNOWN && before.epoch != seen.epoch {
            tracing::error!(
                before = %before.epoch, now = %seen.epoch,
                "nats: stream RUNS is another than before; what the old one held comes back only by retries"
            );
        } else if before.present && !seen.present {
            tracing::error!("nats: stream RUNS is gone; refusing new deliveries until a worker makes it anew");
        }
    }
}

/// Pause before this attempt to reconnect, from 1. The first ones come quickly, since most outages are restarts, and none more
/// than a second after the last; but not those of all gateways at once.
fn pause(attempt: usize) -> Duration {
    let longest = Duration::from_millis(50).saturating_mul(attempt.try_into().unwrap_or(u32::MAX));
    longest.min(Duration::from_secs(1)).mul_f64(0.5 + 0.5 * fastrand::f64())
}

fn is_missing(error: &jetstream::context::GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(error)
        if error.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_come_back_one_by_one() {
        for (attempt, longest) in [(0, 0), (1, 50), (2, 100), (20, 1000), (21, 1000), (usize::MAX, 1000)] {
            let drawn: Vec<_> = (0..100).map(|_| pause(attempt).as_micros()).collect();
            let longest = longest * 1000;
            assert!(drawn.iter().all(|pause| (longest / 2..=longest).contains(pause)), "{attempt}: {drawn:?}");
            assert!(longest == 0 || drawn.iter().any(|pause| *pause != drawn[0]), "{attempt}");
        }
    }

    #[test]
    fn what_may_be_another_stream_confirms_no_mark() {
        let epoch = StreamEpoch(7);
        let seen = Seen { present: true, epoch, connection: Some(1), bytes: 0, messages: 0, at: None, silent: false };
        let (gone, doubted) = (Seen { present: false, ..seen }, Seen { connection: None, ..seen });
        for (what, seen, connection, believed) in [
            ("seen over this connection, or the broker is away since", seen, 1, epoch),
            ("reconnected, not looked at yet, perhaps away again", seen, 2, StreamEpoch::UNKNOWN),
            ("deleted or made, not looked at yet, perhaps away since", doubted, 1, StreamEpoch::UNKNOWN),
            ("deleted, perhaps away since", gone, 1, StreamEpoch::UNKNOWN),
        ] {
            assert_eq!(seen.epoch(connection), believed, "{what}");
        }
    }
}
