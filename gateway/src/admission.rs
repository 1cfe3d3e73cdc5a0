//! Check 2: how many deliveries may be in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::refusal::Refusal;

/// Counts deliveries in flight, and with them the memory that bodies may take.
pub struct Admission {
    in_flight: Arc<InFlight>,
    limit: usize,
}

#[derive(Default)]
struct InFlight {
    count: AtomicUsize,
    /// About the most at a time since there was none; and before that, since there had been none.
    most: AtomicUsize,
    most_before: AtomicUsize,
}

/// One delivery's place. It goes with the delivery into the queue's hands, so that callers who hang up still count
/// until their deliveries have met their fate.
pub struct Place(Arc<InFlight>);

impl Admission {
    /// Room for `limit` deliveries.
    pub fn new(limit: usize) -> Self {
        Self { in_flight: Arc::default(), limit }
    }

    /// Takes a place or refuses at once: a delivery that waits here would only be answered late.
    pub fn enter(&self) -> Result<Place, Refusal> {
        // Taken before it is known to be free: two that look first could both go in.
        let place = Place(Arc::clone(&self.in_flight));
        let InFlight { count, most, most_before } = &*place.0;
        let before = count.fetch_add(1, Ordering::Relaxed);
        if before == 0 {
            most_before.store(most.swap(1, Ordering::Relaxed), Ordering::Relaxed);
        } else if most.load(Ordering::Relaxed) <= before {
            most.fetch_max(before + 1, Ordering::Relaxed);
        }
        if before < self.limit { Ok(place) } else { Err(Refusal::Overloaded) }
    }

    /// Deliveries in flight now.
    pub fn in_flight(&self) -> usize {
        self.in_flight.count.load(Ordering::Relaxed).min(self.limit)
    }
}

impl Place {
    /// Whether it is the only one that is taken, and most likely remains so for a while: callers who are answered together come
    /// again together, and the first of them is not alone for long.
    pub fn is_alone(&self) -> bool {
        self.0.count.load(Ordering::Relaxed) == 1 && self.0.most_before.load(Ordering::Relaxed) <= 1
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_is_who_is_the_only_one_and_whose_forerunners_were() {
        let admission = Admission::new(2);
        let enter = || admission.enter().expect("there is room");
        let comes_alone = || {
            let place = enter();
            place.is_alone()
        };
        assert!(comes_alone() && comes_alone(), "one after the other");
        let one = enter();
        let other = enter();
        assert!(!one.is_alone() && !other.is_alone());
        drop(other);
        assert!(one.is_alone(), "and was before");
        drop(one);
        assert!(!comes_alone(), "there may be two again");
        assert!(comes_alone(), "there was only one");
        let both = (enter(), enter());
        assert!(admission.enter().is_err());
        drop(both);
        assert_eq!(admission.in_flight(), 0);
    }
}
