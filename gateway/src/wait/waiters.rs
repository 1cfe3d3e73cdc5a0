//! Who waits for a worker, and on which subject it is to reply.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::Client;
use futures_util::StreamExt;
use proto::RunId;
use proto::reply::{Outcome, Reply};
use tokio::sync::oneshot;
use tokio::time::{Duration, sleep};

use crate::admission::{Admission, Place};

/// Pause before another try to subscribe.
const PAUSE: Duration = Duration::from_secs(1);

/// All who wait at this gateway. Its own inbox, so that a worker reaches the gateway that asked and no other.
pub(crate) struct Waiters {
    inbox: String,
    next: AtomicU64,
    waiting: Mutex<Waiting>,
    places: Admission,
}

#[derive(Default)]
struct Waiting {
    /// By the last word of the subject.
    told: HashMap<u64, (RunId, oneshot::Sender<Outcome>)>,
    closed: bool,
}

/// One who waits. Nobody is told after this is dropped.
pub(crate) struct Waiter {
    all: Arc<Waiters>,
    number: u64,
    told: oneshot::Receiver<Outcome>,
    _place: Place,
}

impl Waiters {
    pub(crate) fn new(client: &Client, most: usize) -> Self {
        let waiting = Mutex::default();
        Self { inbox: client.new_inbox(), next: AtomicU64::new(0), waiting, places: Admission::new(most) }
    }

    /// A place among them; none where there are enough, or the gateway stops.
    pub(crate) fn begin(self: &Arc<Self>, run: RunId) -> Option<Waiter> {
        let place = self.places.enter().ok()?;
        let (tell, told) = oneshot::channel();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.waiting();
        if waiting.closed {
            return None;
        }
        waiting.told.insert(number, (run, tell));
        drop(waiting);
        Some(Waiter { all: Arc::clone(self), number, told, _place: place })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.places.in_flight()
    }

    /// Nobody waits any more: they are answered as if they had not.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        waiting.told.clear();
    }

    /// Hears what workers say. Ends only by being dropped.
    pub(crate) async fn listen(&self, client: &Client) {
        loop {
            if let Ok(mut replies) = client.subscribe(format!("{}.*", self.inbox)).await {
                // Goes on after a reconnect.
                while let Some(message) = replies.next().await {
                    self.tell(&message.subject, &message.payload);
                }
            }
            sleep(PAUSE).await;
        }
    }

    fn tell(&self, subject: &str, message: &[u8]) {
        let number = subject.rsplit('.').next().and_then(|number| number.parse().ok());
        let (Some(number), Some(reply)) = (number, Reply::decode(message)) else { return };
        let mut waiting = self.waiting();
        // Of another run it would be somebody else's mistake, and not this one's fate.
        if waiting.told.get(&number).is_some_and(|(run, _)| *run == reply.run_id)
            && let Some((_, tell)) = waiting.told.remove(&number)
        {
            // Fails where the caller hangs up at this moment.
            _ = tell.send(reply.outcome);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Never left half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// Where the worker is to reply.
    pub(crate) fn subject(&self) -> String {
        format!("{}.{}", self.all.inbox, self.number)
    }

    /// What the worker says; none where the gateway stops.
    pub(crate) async fn told(&mut self) -> Option<Outcome> {
        (&mut self.told).await.ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.all.waiting().told.remove(&self.number);
    }
}
