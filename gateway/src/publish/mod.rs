//! Step 14: group commit into the queue.
//!
//! ```text
//!  handler ──▶ channel ──▶ group ──▶ message ──▶ JetStream
//!     ▲                                             │ PubAck, error, time-out or disconnect
//!     └───────────────── fate ◀─────────────────────┤
//!                        marks ──▶ marker ──▶ Redis ◀┘
//! ```
//!
//! A message goes out at once while fewer than K are unacknowledged; what arrives meanwhile goes out together as the
//! next one, and so do those whose claims are on their way ([`coming`]). So an idle gateway adds no latency, and a busy one
//! pays the broker once for many.
//!
//! A caller waits for twice the publish time-out at most. A slot is free again within one time-out; by then, whoever has
//! waited that long for a turn is refused, and the others are answered within the next.

mod coming;
mod group;
mod marker;
mod message;

use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::envelope::Encoded;
use proto::{Claim, RunId};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

pub(crate) use self::coming::OnTheWay;
use self::{coming::Coming, marker::Marks};

use crate::admission::Place;
use crate::claims::Claims;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::refusal::Refusal;

/// How messages are formed.
#[derive(Clone, Copy, Debug)]
pub struct Grouping {
    /// Messages that may be unacknowledged at a time.
    pub messages: usize,
    /// Bytes of a message; a larger delivery goes alone.
    pub bytes: usize,
    /// Longest wait for an acknowledgement, and about as much for a turn. Together they bound what a caller waits.
    pub patience: Duration,
}

/// A delivery on its way into the queue.
struct Item {
    run: RunId,
    /// To be marked as published; none where nobody knows whose the key is.
    claim: Option<Claim>,
    encoded: Encoded,
    fate: oneshot::Sender<Result<Published, Refusal>>,
    place: Place,
    /// Until it has come.
    on_the_way: Option<OnTheWay>,
    /// When it came.
    since: Instant,
}

impl Item {
    fn come(mut self) -> Self {
        self.on_the_way = None;
        self
    }

    fn meets(self, fate: Result<Published, Refusal>) {
        // First, so that a caller who has read the answer finds the place free.
        drop(self.place);
        // Fails only if the caller has hung up.
        _ = self.fate.send(fate);
    }
}

/// Proof that the stream acknowledged the message with this delivery in it. Made only in [`message`].
#[derive(Clone, Copy, Debug)]
pub struct Published(());

/// Hands deliveries to the queue.
pub struct Publisher {
    items: mpsc::UnboundedSender<Item>,
    coming: Arc<Coming>,
}

impl Publisher {
    /// Starts the group commit on `tasks`. It ends when the publisher is dropped and all in hand has met its fate,
    /// marks included.
    pub fn start(
        queue: Queue,
        claims: Arc<Claims>,
        grouping: Grouping,
        metrics: Arc<Metrics>,
        tasks: &TaskTracker,
    ) -> Self {
        // Unbounded, but every item holds its place: there are never more than deliveries in flight.
        let (items, received) = mpsc::unbounded_channel();
        let (published, marks) = mpsc::channel(marker::BACKLOG);
        tasks.spawn(marker::run(claims, marks, Arc::clone(&metrics)));
        let marks = Marks { sender: published, metrics: Arc::clone(&metrics) };
        let coming = Arc::default();
        tasks.spawn(group::run(queue, received, Arc::clone(&coming), marks, grouping, metrics));
        Self { items, coming }
    }

    /// To be told before a delivery's claim is asked for, so that others need not leave without it.
    pub(crate) fn expect(&self) -> OnTheWay {
        self.coming.begin()
    }

    /// Publishes a delivery and awaits the fate of the message that carries it. Dropping this future removes nothing:
    /// a caller who hangs up has still sent.
    ///
    /// `claim` is the one that was made or found for this very delivery. Without one nothing is marked: a mark would
    /// overwrite the claim of whoever holds the key. `since` is now, for whoever knows it already.
    pub(crate) async fn publish(
        &self,
        run: RunId,
        claim: Option<Claim>,
        encoded: Encoded,
        place: Place,
        on_the_way: OnTheWay,
        since: Instant,
    ) -> Result<Published, Refusal> {
        let (fate, told) = oneshot::channel();
        let gone = |()| Refusal::Internal("the publisher has ended");
        self.items
            .send(Item { run, claim, encoded, fate, place, on_the_way: Some(on_the_way), since })
            .map_err(|_| gone(()))?;
        told.await.map_err(|_| gone(()))?
    }
}
