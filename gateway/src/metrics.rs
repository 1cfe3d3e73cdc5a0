//! What the gateway tells Prometheus. Labels are codes of the contract and names of steps, never a caller's words (I7).

mod redis;

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use self::redis::RedisMetrics;

/// The outcome of a delivery, `created` or `replayed`; of a batch, `answered`; of a question after a run, `queued`, `created` or `rejected`; or a code
/// of [`crate::refusal::Refusal`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

const CREATED: &str = "created";

/// What becomes of payloads that are not as their playbook's schema says: `enforce` or `shadow`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModeLabel {
    mode: &'static str,
}

/// A step of the request path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabel {
    step: &'static str,
}

/// The gateway's metrics.
pub struct Metrics {
    outcomes: Family<Outcome, Counter>,
    /// The usual outcome, looked up once.
    created: Counter,
    statuses: Family<Outcome, Counter>,
    batches: Family<Outcome, Counter>,
    /// Lines of each batch.
    pub(crate) batch_lines: Histogram,
    off_schema: Family<ModeLabel, Counter>,
    steps: Steps,
    /// Deliveries that each message carried.
    pub(crate) message_deliveries: Histogram,
    /// What is asked of Redis.
    pub(crate) redis: RedisMetrics,
    /// Open connections.
    pub(crate) connections: Gauge,
    /// Connections of strangers that were ended for what they had open over HTTP/2.
    pub(crate) connections_evicted: Counter,
    /// Playbooks whose input schema does not compile.
    pub(crate) broken_schemas: Gauge,
    /// Deliveries whose callers wait for the commit.
    pub(crate) waiting: Gauge,
    pub(crate) in_flight: Gauge,
    pub(crate) catalog_age: Gauge<f64, std::sync::atomic::AtomicU64>,
    pub(crate) queue_messages: Gauge,
    pub(crate) queue_bytes: Gauge,
}

/// Time spent in each step, looked up once: the request path takes no lock for it but the histogram's own.
pub(crate) struct Steps {
    /// The checks before the body, and the body.
    pub(crate) body: Histogram,
    /// The payload's checks, against its playbook's schema too, and what is computed of it.
    pub(crate) payload: Histogram,
    /// Redis' answer.
    pub(crate) claim: Histogram,
    pub(crate) publish: Histogram,
    pub(crate) wait: Histogram,
    pub(crate) total: Histogram,
}

impl Metrics {
    /// Registers all of them.
    pub fn register(registry: &mut Registry) -> Self {
        // From 50 µs, a claim on a quiet machine, to 10 s, beyond every time-out.
        let latency = || {
            Histogram::new([
                50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1.0,
                2.5, 5.0, 10.0,
            ])
        };
        let steps = Family::<StepLabel, Histogram, _>::new_with_constructor(latency as fn() -> Histogram);
        let step = |step| steps.get_or_create(&StepLabel { step }).clone();
        let outcomes = Family::<Outcome, Counter>::default();
        let created = outcomes.get_or_create(&Outcome { outcome: CREATED }).clone();
        // A dashboard shall find these at 0 rather than not at all.
        let off_schema = Family::<ModeLabel, Counter>::default();
        for mode in [schema::Mode::Enforce, schema::Mode::Shadow] {
            _ = off_schema.get_or_create(&ModeLabel { mode: mode.as_str() });
        }
        let r = registry.sub_registry_with_prefix("runlatch_gateway");
        let metrics = Self {
            outcomes,
            created,
            statuses: Family::default(),
            batches: Family::default(),
            batch_lines: Histogram::new([1.0, 10.0, 100.0, 1000.0, 5000.0]),
            off_schema,
            broken_schemas: Gauge::default(),
            steps: Steps {
                body: step("body"),
                payload: step("payload"),
                claim: step("claim"),
                publish: step("publish"),
                wait: step("wait"),
                total: step("total"),
            },
            message_deliveries: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]),
            redis: RedisMetrics::register(r),
            connections: Gauge::default(),
            connections_evicted: Counter::default(),
            waiting: Gauge::default(),
            in_flight: Gauge::default(),
            catalog_age: Gauge::default(),
            queue_messages: Gauge::default(),
            queue_bytes: Gauge::default(),
        };
        r.register("deliveries", "Deliveries answered, by outcome", metrics.outcomes.clone());
        r.register("batches", "Batches answered, or refused whole, by outcome", metrics.batches.clone());
        r.register("batch_lines", "Lines in each batch; each counts as a delivery too", metrics.batch_lines.clone());
        r.register("run_status", "Questions after a run answered, by outcome", metrics.statuses.clone());
        r.register(
            "off_schema",
            "Payloads that were not as the playbook's input schema says",
            metrics.off_schema.clone(),
        );
        r.register("broken_schemas", "Playbooks whose input schema does not compile", metrics.broken_schemas.clone());
        r.register_with_unit("step", "Time of an answered delivery by step", Unit::Seconds, steps);
        r.register("message_deliveries", "Deliveries in each message", metrics.message_deliveries.clone());
        r.register("connections", "Open connections", metrics.connections.clone());
        r.register(
            "connections_evicted",
            "Connections of strangers that were ended because strangers had too many requests open over HTTP/2",
            metrics.connections_evicted.clone(),
        );
        r.register("waiting", "Deliveries whose callers wait for the commit", metrics.waiting.clone());
        r.register("in_flight", "Deliveries in flight", metrics.in_flight.clone());
        r.register_with_unit(
            "catalog_age",
            "Time since the catalog was known to be current",
            Unit::Seconds,
            metrics.catalog_age.clone(),
        );
        r.register("queue_messages", "Messages in the stream, as last seen", metrics.queue_messages.clone());
        r.register_with_unit("queue", "Bytes in the stream, as last seen", Unit::Bytes, metrics.queue_bytes.clone());
        metrics
    }

    pub(crate) fn count(&self, outcome: &'static str, took: Duration) {
        if outcome == CREATED {
            self.created.inc();
        } else {
            self.outcomes.get_or_create(&Outcome { outcome }).inc();
        }
        self.steps.total.observe(took.as_secs_f64());
    }

    pub(crate) fn count_off_schema(&self, mode: schema::Mode) {
        self.off_schema.get_or_create(&ModeLabel { mode: mode.as_str() }).inc();
    }

    pub(crate) fn count_batch(&self, outcome: &'static str) {
        self.batches.get_or_create(&Outcome { outcome }).inc();
    }

    pub(crate) fn count_status(&self, outcome: &'static str) {
        self.statuses.get_or_create(&Outcome { outcome }).inc();
    }

    pub(crate) fn steps(&self) -> &Steps {
        &self.steps
    }
}
