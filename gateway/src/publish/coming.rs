//! Who is on the way to the publisher: deliveries whose claims Redis has yet to answer.
//!
//! A message is held for them when its first delivery is there, because the broker is paid by the message. Redis answers in
//! order, so that is one more trip to Redis at most; a delivery that is alone waits for nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout_at;

/// Longest time that a message is held, whatever Redis does; up to a millisecond more by the resolution of the timer.
const PATIENCE: Duration = Duration::from_millis(1);

/// All who are on the way.
#[derive(Default)]
pub(super) struct Coming {
    begun: AtomicU64,
    ended: AtomicU64,
    /// Somebody waits until so many have ended.
    awaited: AtomicU64,
    reached: Notify,
}

/// One who is on the way. Dropped when it has come, or when it will not.
pub(crate) struct OnTheWay(Arc<Coming>);

/// A message that is held until all have ended who had begun before.
#[derive(Clone, Copy)]
pub(super) struct Hold {
    begun: u64,
    until: Instant,
}

impl Coming {
    pub(super) fn begin(self: &Arc<Self>) -> OnTheWay {
        self.begun.fetch_add(1, SeqCst);
        OnTheWay(Arc::clone(self))
    }

    /// Begins to hold a message for those who are on the way now.
    pub(super) fn hold(&self) -> Hold {
        Hold { begun: self.begun.load(SeqCst), until: Instant::now() + PATIENCE }
    }
}

impl Hold {
    /// Whether it is worth waiting any longer.
    pub(super) fn is_on(self, coming: &Coming) -> bool {
        coming.ended.load(SeqCst) < self.begun && Instant::now() < self.until
    }

    /// Returns when it may be over. For one at a time.
    pub(super) async fn over(self, coming: &Coming) {
        coming.awaited.store(self.begun, SeqCst);
        // Only then: whoever ends after this look knows that somebody waits.
        if self.is_on(coming) {
            _ = timeout_at(self.until.into(), coming.reached.notified()).await;
        }
    }
}

impl Drop for OnTheWay {
    fn drop(&mut self) {
        let ended = self.0.ended.fetch_add(1, SeqCst) + 1;
        if ended == self.0.awaited.load(SeqCst) {
            self.0.reached.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use futures_util::FutureExt;

    use super::{Coming, Hold, PATIENCE};

    #[tokio::test]
    async fn a_message_is_held_for_those_before_it_and_nobody_else() {
        let coming = Arc::new(Coming::default());
        // Long enough for a machine that pauses.
        let hold = || Hold { until: Instant::now() + Duration::from_secs(600), ..coming.hold() };
        assert!(!hold().is_on(&coming), "nobody is on the way");
        let (first, second) = (coming.begin(), coming.begin());
        let hold = hold();
        let _later = coming.begin();
        let mut over = pin!(hold.over(&coming));
        assert!(over.as_mut().now_or_never().is_none());
        drop(second);
        assert!(hold.is_on(&coming));
        assert!(over.as_mut().now_or_never().is_none());
        drop(first);
        assert!(!hold.is_on(&coming), "the later one is not waited for");
        assert!(over.now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_message_is_not_held_for_ever() {
        let coming = Arc::new(Coming::default());
        let (_never, begun) = (coming.begin(), Instant::now());
        let hold = coming.hold();
        hold.over(&coming).await;
        assert!(begun.elapsed() >= PATIENCE);
        assert!(!hold.is_on(&coming));
    }
}
