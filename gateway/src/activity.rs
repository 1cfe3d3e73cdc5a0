//! What one connection is at: the requests that are being handled, and the answers that its peer has yet to take.
//!
//! Nothing in hyper bounds the silence before it knows the protocol, nor the time to a request's head (`connection.rs` says
//! why), nor the silence of an HTTP/2 peer, nor how long a peer leaves its answers unread. Who looks after that looks here.

mod unread;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub(crate) use self::unread::Answer;
use crate::crowd::streams::Streams;

/// The requests and answers of one connection.
pub(crate) struct Activity {
    opened: Instant,
    handled: AtomicUsize,
    /// Milliseconds from `opened` to the last moment when something was being handled; zero before the first answer.
    last: AtomicU64,
    /// Its requests over HTTP/2. They are known to be no stranger's once a secret was right: many callers' may share a
    /// proxy's connection, and one of them is enough.
    pub(crate) streams: Streams,
    /// Answers that are not read, of this period and of the one before it.
    unread: [AtomicUsize; 2],
    period: AtomicUsize,
    /// Told when others wait for this connection's place.
    pub(crate) leave: CancellationToken,
    /// Told to end at once, for the requests that a stranger has open.
    pub(crate) evicted: CancellationToken,
}

/// A request that is being handled.
pub(crate) struct Handled(Arc<Activity>);

/// A request over HTTP/2, until its answer is taken.
pub(crate) struct Stream(Arc<Activity>);

impl Activity {
    pub(crate) fn new(streams: Streams) -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            handled: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            streams,
            unread: [AtomicUsize::new(0), AtomicUsize::new(0)],
            period: AtomicUsize::new(0),
            leave: CancellationToken::new(),
            evicted: CancellationToken::new(),
        })
    }

    pub(crate) fn begin(self: &Arc<Self>) -> Handled {
        self.handled.fetch_add(1, Ordering::Relaxed);
        Handled(Arc::clone(self))
    }

    pub(crate) fn open(self: &Arc<Self>) -> Stream {
        self.streams.begin();
        Stream(Arc::clone(self))
    }

    /// A secret was right. Its place is worth more from now on.
    pub(crate) fn authenticate(&self) {
        self.streams.know();
    }

    pub(crate) fn authenticated(&self) -> bool {
        self.streams.known()
    }

    /// How long it has been open without an answer; none after the first.
    pub(crate) fn unanswered(&self) -> Option<Duration> {
        (self.last.load(Ordering::Relaxed) == 0).then(|| self.opened.elapsed())
    }

    /// How long nothing has been handled here; none while something is.
    pub(crate) fn idle(&self) -> Option<Duration> {
        let idle = self.opened.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)));
        (self.handled.load(Ordering::Relaxed) == 0).then_some(idle)
    }

    /// Returns when for so long from now on nothing was handled.
    pub(crate) async fn pause(&self, length: Duration) {
        let begun = Instant::now();
        loop {
            let idle = self.idle().map_or(Duration::ZERO, |idle| idle.min(begun.elapsed()));
            if idle >= length {
                return;
            }
            sleep(length - idle).await;
        }
    }

    /// Returns `length` after a stranger was told to leave: it could go on asking for ever, over HTTP/2 even after a
    /// GOAWAY. Who has held a secret is given the time to answer what is in flight.
    pub(crate) async fn overstayed(&self, length: Duration) {
        self.leave.cancelled().await;
        sleep(length).await;
        if self.authenticated() {
            pending::<()>().await;
        }
    }

    /// Returns when a stranger was told to end at once. Who has held a secret since it was decided is none any more.
    pub(crate) async fn cut_off(&self) {
        self.evicted.cancelled().await;
        if self.authenticated() {
            pending::<()>().await;
        }
    }

    /// Returns when an answer has been left unread for `patience`, or up to twice as long.
    pub(crate) async fn unread(&self, patience: Duration) {
        loop {
            sleep(patience).await;
            let before = 1 - self.period.load(Ordering::Relaxed);
            if self.unread[before].load(Ordering::Relaxed) > 0 {
                return;
            }
            // Nothing is left of the period before; it becomes the next one.
            self.period.store(before, Ordering::Relaxed);
        }
    }
}

impl Handled {
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.0
    }
}

impl Drop for Handled {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(now.max(1), Ordering::Relaxed);
        self.0.handled.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.end();
    }
}
