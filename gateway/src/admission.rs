//! Check 2: how many deliveries may be in flight.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::refusal::Refusal;

/// Counts deliveries in flight, and with them the memory that bodies may take.
pub struct Admission {
    places: Arc<Semaphore>,
    limit: usize,
}

/// One delivery's place. It goes with the delivery into the queue's hands, so that callers who hang up still count
/// until their deliveries have met their fate.
pub struct Place(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Admission {
    /// Room for `limit` deliveries.
    pub fn new(limit: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(limit)), limit }
    }

    /// Takes a place or refuses at once: a delivery that waits here would only be answered late.
    pub fn enter(&self) -> Result<Place, Refusal> {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => Ok(Place(permit)),
            Err(_) => Err(Refusal::Overloaded),
        }
    }

    /// Deliveries in flight now.
    pub fn in_flight(&self) -> usize {
        self.limit - self.places.available_permits()
    }
}
