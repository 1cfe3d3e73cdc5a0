//! What the gateway says of itself to its operators.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use redis::RedisResult;

use crate::admission::Admission;
use crate::catalog::Catalog;
use crate::metrics::Metrics;
use crate::queue::Queue;

/// The parts that decide whether the gateway is ready.
pub(crate) struct Health {
    metrics: Arc<Metrics>,
    catalog: Arc<Catalog>,
    queue: Queue,
    admission: Arc<Admission>,
    redis: AtomicBool,
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
    pub(crate) fn new(
        metrics: &Arc<Metrics>,
        catalog: &Arc<Catalog>,
        queue: &Queue,
        admission: &Arc<Admission>,
    ) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            catalog: Arc::clone(catalog),
            queue: queue.clone(),
            admission: Arc::clone(admission),
            redis: AtomicBool::new(true),
            phase: AtomicU8::new(Phase::Starting as u8),
        }
    }

    /// Notes a new phase of life. Only while it is serving can the gateway be ready.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Notes whether Redis takes writes, and says so in the log when that changes.
    pub(crate) fn redis(&self, probe: RedisResult<()>) {
        let worked = self.redis.swap(probe.is_ok(), Ordering::Relaxed);
        match probe {
            Ok(()) if !worked => tracing::info!("redis: takes writes again"),
            Err(error) if worked => {
                tracing::warn!(%error, "redis: takes no writes; accepting deliveries with their check deferred");
            }
            Ok(()) | Err(_) => {}
        }
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
        if self.catalog.current().is_none() {
            missing.push("postgres: no catalog, or one older than allowed".to_owned());
        }
        missing.extend(self.queue.refuses().map(str::to_owned));
        missing
    }

    fn degraded(&self) -> Vec<String> {
        let mut degraded = Vec::new();
        // An accelerator (I5): without it deliveries are still accepted.
        if !self.redis.load(Ordering::Relaxed) {
            degraded.push("redis: takes no writes; the check for conflicts is deferred".to_owned());
        }
        degraded.extend(self.queue.trouble().map(str::to_owned));
        degraded
    }

    fn refresh(&self) {
        let (messages, bytes) = self.queue.depth();
        self.metrics.in_flight.set(self.admission.in_flight() as i64);
        self.metrics.catalog_age.set(self.catalog.age().as_secs_f64());
        self.metrics.queue_messages.set(messages as i64);
        self.metrics.queue_bytes.set(bytes as i64);
        self.metrics.redis_writes.set(i64::from(self.redis.load(Ordering::Relaxed)));
    }
}
