//! What is asked of Redis, and what is not.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::claims::{BreakerState, Unchecked};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Command {
    command: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// Metrics of the claims. Counters of the request path are looked up once.
pub(crate) struct RedisMetrics {
    /// Claims sent: a delivery waits for each.
    pub(crate) claims: Counter,
    /// Look-ups sent: a delivery waits for each.
    pub(crate) look_ups: Counter,
    /// Marks sent: nobody waits.
    pub(crate) marks: Counter,
    /// Writes sent only to see whether they work.
    pub(crate) probes: Counter,
    deferred: Family<Reason, Counter>,
    state: Family<StateLabel, Gauge>,
    changes: Family<StateLabel, Counter>,
    /// Marks that Redis did not take; their retries are helped instead of replayed.
    pub(crate) marks_lost: Counter,
}

impl RedisMetrics {
    pub(super) fn register(r: &mut Registry) -> Self {
        let commands = Family::<Command, Counter>::default();
        let sent = |command| commands.get_or_create(&Command { command }).clone();
        let metrics = Self {
            claims: sent("claim"),
            look_ups: sent("look_up"),
            marks: sent("mark"),
            probes: sent("probe"),
            deferred: Family::default(),
            state: Family::default(),
            changes: Family::default(),
            marks_lost: Counter::default(),
        };
        // From the start, at zero: what appears only when it has grown is no growth to an alert.
        Unchecked::ALL.iter().for_each(|why| drop(metrics.deferred.get_or_create(&Reason { reason: why.reason() })));
        BreakerState::ALL
            .iter()
            .for_each(|state| drop(metrics.changes.get_or_create(&StateLabel { state: state.name() })));
        r.register("redis_commands", "Commands sent to Redis; deliveries wait for claim and look_up", commands);
        r.register(
            "checks_deferred",
            "Deliveries that went on without a check of their key, by what kept it from being made",
            metrics.deferred.clone(),
        );
        r.register("redis_breaker", "1 for the state that the breaker is in", metrics.state.clone());
        r.register("redis_breaker_changes", "Changes of the breaker, by the state after them", metrics.changes.clone());
        r.register("marks_lost", "Published deliveries whose claim could not be marked", metrics.marks_lost.clone());
        metrics
    }

    /// A delivery goes on without a check of its key.
    pub(crate) fn deferred(&self, why: Unchecked) {
        self.deferred.get_or_create(&Reason { reason: why.reason() }).inc();
    }

    /// The breaker is in this state now.
    pub(crate) fn breaker_is(&self, now: BreakerState) {
        for state in BreakerState::ALL {
            self.state.get_or_create(&StateLabel { state: state.name() }).set(i64::from(state == now));
        }
    }

    /// The breaker has changed to this state.
    pub(crate) fn breaker_became(&self, now: BreakerState) {
        self.changes.get_or_create(&StateLabel { state: now.name() }).inc();
    }
}
