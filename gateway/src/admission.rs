//! Check 2: how many deliveries may be in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::refusal::Refusal;

/// Counts deliveries in flight, and with them the memory that bodies may take.
pub struct Admission {
    in_flight: Arc<AtomicUsize>,
    limit: usize,
}

/// One delivery's place. It goes with the delivery into the queue's hands, so that callers who hang up still count
/// until their deliveries have met their fate.
pub struct Place(Arc<AtomicUsize>);

impl Admission {
    /// Room for `limit` deliveries.
    pub fn new(limit: usize) -> Self {
        Self { in_flight: Arc::default(), limit }
    }

    /// Takes a place or refuses at once: a delivery that waits here would only be answered late.
    pub fn enter(&self) -> Result<Place, Refusal> {
        // Taken before it is known to be free: two that look first could both go in.
        let place = Place(Arc::clone(&self.in_flight));
        if place.0.fetch_add(1, Ordering::Relaxed) < self.limit { Ok(place) } else { Err(Refusal::Overloaded) }
    }

    /// Deliveries in flight now.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed).min(self.limit)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
