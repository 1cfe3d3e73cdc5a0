//! What is counted.

use std::{borrow::Cow, collections::HashMap, sync::atomic::AtomicU64};

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use proto::dead_letter::Reason;

use crate::outcome::Outcome;

type Labels = Vec<(&'static str, String)>;

/// Counters of one worker. Names in the registry are prefixed with `runlatch_worker_`.
pub(crate) struct Metrics {
    deliveries: Family<Labels, Counter>,
    pub(crate) batch_deliveries: Histogram,
    pub(crate) commit_seconds: Histogram,
    pub(crate) commit_failures: Counter,
    pub(crate) oldest_waiting: Gauge<f64, AtomicU64>,
    pub(crate) redeliveries: Counter,
    pub(crate) streams_created: Counter,
    pub(crate) consumers_created: Counter,
    pub(crate) put_back: Counter,
    pub(crate) unsupported_versions: Counter,
}

impl Metrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            deliveries: Family::default(),
            batch_deliveries: Histogram::new(exponential_buckets(1.0, 2.0, 15)),
            commit_seconds: Histogram::new(exponential_buckets(0.000_5, 2.0, 16)),
            commit_failures: Counter::default(),
            oldest_waiting: Gauge::default(),
            redeliveries: Counter::default(),
            streams_created: Counter::default(),
            consumers_created: Counter::default(),
            put_back: Counter::default(),
            unsupported_versions: Counter::default(),
        };
        // A dashboard shall find these at 0 rather than not at all.
        for outcome in ["created", "duplicate"].into_iter().chain(Reason::ALL.map(Reason::as_str)) {
            _ = metrics.deliveries.get_or_create(&vec![("outcome", outcome.to_owned())]);
        }
        let registry = registry.sub_registry_with_prefix("runlatch_worker");
        let mut counter = |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        counter(
            "commit_failures",
            "Attempts to commit a batch that failed and were repeated",
            &metrics.commit_failures,
        );
        counter("redeliveries", "Messages that the broker gave out before", &metrics.redeliveries);
        counter("streams_created", "Times this worker made the stream", &metrics.streams_created);
        counter("consumers_created", "Times this worker made the consumer", &metrics.consumers_created);
        counter("put_back", "Messages put back: too new, held too long, or the worker stopped", &metrics.put_back);
        counter("unsupported_versions", "Messages for newer workers only", &metrics.unsupported_versions);
        registry.register("deliveries", "Deliveries settled, by outcome", metrics.deliveries.clone());
        registry.register("batch_deliveries", "Deliveries in a committed batch", metrics.batch_deliveries.clone());
        registry.register("commit_seconds", "Time of a batch's transaction", metrics.commit_seconds.clone());
        registry.register(
            "oldest_waiting_seconds",
            "Age of the first message in the stream",
            metrics.oldest_waiting.clone(),
        );
        metrics
    }

    /// Counts committed outcomes.
    pub(crate) fn count<'o>(&self, outcomes: impl Iterator<Item = &'o Outcome>) {
        let mut counts: HashMap<Cow<'static, str>, u64> = HashMap::new();
        outcomes.for_each(|outcome| *counts.entry(outcome.label()).or_default() += 1);
        self.batch_deliveries.observe(counts.values().sum::<u64>() as f64);
        for (outcome, count) in counts {
            self.deliveries.get_or_create(&vec![("outcome", outcome.into_owned())]).inc_by(count);
        }
    }
}
