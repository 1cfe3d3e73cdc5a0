//! What the gateway says of itself to its operators.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::admission::Admission;
use crate::catalog::Catalog;
use crate::claims::{Claims, OnRedisOutage};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::wait::Waiters;

/// The parts that decide whether the gateway is ready.
pub(crate) struct Parts {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) claims: Arc<Claims>,
    pub(crate) on_redis_outage: OnRedisOutage,
    pub(crate) queue: Queue,
    pub(crate) admission: Arc<Admission>,
    pub(crate) waiters: Arc<Waiters>,
}

/// Those parts, and the phase of life they are in.
pub(crate) struct Health {
    parts: Parts,
    phase: AtomicU8,
}

/// Where the gateway is in its life.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    Starting,
    Serving,
    Stopping,
}

impl Health {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts, phase: AtomicU8::new(Phase::Starting as u8) }
    }

    /// Notes a new phase of life. Only while it is serving can the gateway be ready.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }
    /// What is wrong with Redis, if that is answered in this way.
    fn redis(&self, answered: OnRedisOutage) -> Option<String> {
        if self.parts.on_redis_outage == answered { self.parts.claims.trouble() } else { None }
    }
}

impl ops::listener::Health for Health {
    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let phase = self.phase.load(Ordering::Relaxed);
        if phase == Phase::Stopping as u8 {
            missing.push("stopping".to_owned());
        }
        if phase == Phase::Starting as u8 {
            missing.push("starting".to_owned());
        }
        if self.parts.catalog.current().is_none() {
            missing.push("postgres: no catalog, or one older than allowed".to_owned());
        }
        missing.extend(self.parts.queue.refuses().map(str::to_owned));
        missing.extend(self.redis(OnRedisOutage::Reject));
        missing
    }

    fn degraded(&self) -> Vec<String> {
        let mut degraded = Vec::new();
        // An accelerator (I5): without it deliveries are still accepted, where nobody has chosen otherwise.
        degraded.extend(self.redis(OnRedisOutage::Accept));
        degraded.extend(self.parts.queue.trouble().map(str::to_owned));
        let broken: Vec<_> =
            self.parts.catalog.current().iter().flat_map(|snapshot| snapshot.broken_schemas()).take(3).collect();
        if !broken.is_empty() {
            degraded.push(format!("catalog: input schemas that do not compile, of {} …", broken.join(", ")));
        }
        degraded
    }

    fn refresh(&self) {
        let Parts { metrics, catalog, claims, queue, admission, waiters, .. } = &self.parts;
        let (messages, bytes) = queue.depth();
        // Read where it is told, not noted where it changes: of two changes at once the later note would stay.
        metrics.redis.breaker_is(claims.breaker());
        metrics.waiting.set(waiters.count() as i64);
        metrics.in_flight.set(admission.in_flight() as i64);
        metrics.catalog_age.set(catalog.age().as_secs_f64());
        let broken = catalog.current().map_or(0, |snapshot| snapshot.broken_schemas().count());
        metrics.broken_schemas.set(broken as i64);
        metrics.queue_messages.set(messages as i64);
        metrics.queue_bytes.set(bytes as i64);
    }
}
