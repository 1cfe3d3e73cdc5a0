//! The catalog: who may start what, in memory. A request never waits for Postgres.
//!
//! ```text
//!   connect ──▶ LISTEN ──▶ read all ──▶ follow ──▶ (connection lost) ──▶ connect …
//!                                        │    ▲
//!                          notification: read that organization
//!                          heartbeat: is the connection still alive?
//! ```
//!
//! LISTEN comes first, so that a change during the first read is notified and not missed.

mod follow;
mod input;
mod read;
mod snapshot;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

pub use follow::follow;
pub use snapshot::{Input, Organization, Playbook, Snapshot};

/// The newest snapshot, and when it was last known to be current.
pub struct Catalog {
    snapshot: ArcSwapOption<Snapshot>,
    started: Instant,
    /// Milliseconds from `started` to the last proof that nothing was missed.
    confirmed: AtomicU64,
    max_age: Option<Duration>,
}

impl Catalog {
    /// An empty catalog; `max_age` is how old it may get before it must not be relied on.
    pub fn new(max_age: Option<Duration>) -> Self {
        Self { snapshot: ArcSwapOption::empty(), started: Instant::now(), confirmed: AtomicU64::new(0), max_age }
    }

    /// The snapshot to answer from, or none if there is none yet, or if it is older than it may be.
    pub fn current(&self) -> Option<Arc<Snapshot>> {
        self.look(Arc::clone)
    }

    /// Looks at [`Catalog::current`], without a change of its count, which all threads share.
    pub fn look<T>(&self, at: impl FnOnce(&Arc<Snapshot>) -> T) -> Option<T> {
        if self.max_age.is_some_and(|max| self.age() > max) {
            return None;
        }
        self.snapshot.load().as_ref().map(at)
    }

    /// Time since the snapshot was last known to be what the database holds.
    pub fn age(&self) -> Duration {
        let confirmed = Duration::from_millis(self.confirmed.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(confirmed)
    }

    fn replace(&self, snapshot: Snapshot) {
        let before = self.snapshot.swap(Some(Arc::new(snapshot)));
        self.confirm();
        // Takes as long as to make it, and callers wait for this thread.
        tokio::task::spawn_blocking(|| drop(before));
    }

    fn confirm(&self) {
        let since = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.confirmed.store(since, Ordering::Relaxed);
    }
}
