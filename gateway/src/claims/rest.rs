//! How long Redis is left alone before the probe asks it again.

use std::time::{Duration, Instant};

/// Pause between probes: by this much an outage may seem to be longer than it is.
const PAUSE: Duration = Duration::from_millis(200);
/// Who has worked for less than this has only seemed to.
const STEADY: Duration = Duration::from_secs(10);
/// Longest pause after having seemed to work.
const LONGEST: Duration = Duration::from_secs(5);

/// A Redis that is too slow for its load answers a probe in time when it is left alone, and nobody else after that. Each
/// time some callers wait in vain, so each time it is left alone for twice as long; until it has worked for a while. So is
/// one that refuses writes now and then, as where it is about as full as it may be: each change is told, too.
#[derive(Default)]
pub(super) struct Rest {
    /// Since when it works.
    since: Option<Instant>,
    failing: bool,
    dwell: Duration,
}

impl Rest {
    pub(super) fn works(&mut self, now: Instant) {
        self.since.get_or_insert(now);
        self.failing = false;
    }

    /// Returns the pause before it is asked again. The first one after it has worked well is none: most outages are
    /// restarts.
    pub(super) fn fails(&mut self, now: Instant) -> Duration {
        if std::mem::replace(&mut self.failing, true) {
            return PAUSE;
        }
        let steady = self.since.take().is_none_or(|since| now.duration_since(since) >= STEADY);
        self.dwell = if steady { Duration::ZERO } else { (self.dwell * 2).clamp(PAUSE, LONGEST) };
        self.dwell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_works_for_moments_is_left_alone_for_longer_and_longer() {
        let (mut rest, begin) = (Rest::default(), Instant::now());
        let mut seconds = 0;
        // It works so many seconds from now on, then fails.
        let mut after = |works: u64| {
            rest.works(begin + Duration::from_secs(seconds));
            // Each probe that finds it well says so again.
            rest.works(begin + Duration::from_secs(seconds + works / 2));
            seconds += works;
            let now = begin + Duration::from_secs(seconds);
            (rest.fails(now).as_millis(), rest.fails(now).as_millis())
        };
        assert_eq!(after(10), (0, 200));
        let dwells: Vec<_> = [0, 1, 9, 0, 0, 0, 0].map(|works| after(works).0).into();
        assert_eq!(dwells, [200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!([after(10), after(1)], [(0, 200), (200, 200)]);
    }

    #[test]
    fn a_gateway_that_starts_asks_at_once() {
        let mut rest = Rest::default();
        assert_eq!([rest.fails(Instant::now()), rest.fails(Instant::now())], [Duration::ZERO, PAUSE]);
    }
}
