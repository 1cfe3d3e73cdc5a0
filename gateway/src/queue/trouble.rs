//! Why deliveries cannot be queued, and what the log has been told of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shortest time between two lines of the log: a stream that is full takes a message as often as a worker makes room, and
/// refuses the next.
const QUIET: Duration = Duration::from_secs(1);

/// The fate of the last message.
#[derive(Default)]
pub(super) struct Trouble(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Why it was not acknowledged, if it was not.
    now: Option<&'static str>,
    told: Option<&'static str>,
    /// When that was told.
    at: Option<Instant>,
}

impl Trouble {
    pub(super) fn now(&self) -> Option<&'static str> {
        self.known().now
    }

    pub(super) fn note(&self, trouble: Option<&'static str>) {
        let mut known = self.known();
        known.now = trouble;
        known.tell(Instant::now());
    }

    /// Tells what has changed and was not told at once. Called now and then.
    pub(super) fn tell(&self) {
        self.known().tell(Instant::now());
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn tell(&mut self, now: Instant) {
        match self.news(now) {
            Some(Some(reason)) => tracing::warn!(reason, "deliveries are answered 503"),
            Some(None) => tracing::info!("deliveries are queued again"),
            None => {}
        }
    }

    /// What is to be told now, if anything is.
    fn news(&mut self, now: Instant) -> Option<Option<&'static str>> {
        if self.now == self.told || self.at.is_some_and(|at| now.duration_since(at) < QUIET) {
            return None;
        }
        (self.told, self.at) = (self.now, Some(now));
        Some(self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_refuses_every_other_message_is_told_once_a_second() {
        let (mut known, begin) = (Known::default(), Instant::now());
        let mut told = vec![];
        for millis in 0..5000 {
            known.now = (millis % 2 == 1).then_some("full");
            told.extend(known.news(begin + Duration::from_millis(millis)).map(|news| (millis, news)));
        }
        assert_eq!(told, [(1, Some("full")), (1002, None), (2003, Some("full")), (3004, None), (4005, Some("full"))]);
    }

    #[test]
    fn what_was_not_told_at_once_is_told_later() {
        let (mut known, begin) = (Known { now: Some("full"), ..Known::default() }, Instant::now());
        assert_eq!(known.news(begin), Some(Some("full")));
        known.now = None;
        assert_eq!(known.news(begin + QUIET / 2), None);
        assert_eq!(known.news(begin + QUIET), Some(None));
        assert_eq!(known.news(begin + QUIET * 3), None);
    }
}
