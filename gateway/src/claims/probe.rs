//! Finds out, off every delivery's time, what Redis is good for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::ConnectionInfo;
use tokio::time::sleep;
use uuid::Uuid;

use super::breaker::{Access, Breaker, State};
use super::link::{Fault, Link};
use super::rest::Rest;
use crate::metrics::Metrics;

/// Pause between probes while all is well, so that an outage is noticed where no delivery comes.
const WELL: Duration = Duration::from_secs(1);

pub(super) struct Probe {
    redis: ConnectionInfo,
    patience: Duration,
    key: String,
    metrics: Arc<Metrics>,
}

impl Probe {
    pub(super) fn new(redis: ConnectionInfo, patience: Duration, metrics: Arc<Metrics>) -> Self {
        Self { redis, patience, key: format!("rl:probe:{}", Uuid::new_v4().simple()), metrics }
    }

    /// Never ends.
    pub(super) async fn keep_asking(&self, breaker: &Breaker) {
        let mut rest = Rest::default();
        loop {
            let state = breaker.now();
            if let Some(link) = state.writes() {
                rest.works(Instant::now());
                let answer = self.write(link).await;
                _ = breaker.judged(&state, Access::Write, answer);
                // Not kept while waiting: with the last state its connection closes.
                drop(state);
                tokio::select! {
                    () = sleep(WELL) => {}
                    () = breaker.doubted() => {}
                }
            } else {
                drop(state);
                // Gateways that lost it together come back to it one by one.
                sleep(rest.fails(Instant::now()).mul_f64(0.5 + 0.5 * fastrand::f64())).await;
                let state = breaker.now();
                breaker.change(&state, self.find_out().await);
            }
        }
    }

    /// Over a connection of its own: the one that failed may lead to a server that is no primary any more, or nowhere.
    async fn find_out(&self) -> State {
        let link = match Link::connect(&self.redis, self.patience).await {
            Ok(link) => link,
            Err(fault) => return State::Open(fault.said("cannot be reached")),
        };
        match self.write(&link).await {
            Ok(()) => State::Closed(link),
            Err(Fault::Refused(code)) => match self.read(&link).await {
                Ok(()) => State::ReadOnly(link, code),
                Err(fault) => State::Open(fault.said("cannot be read")),
            },
            Err(fault) => State::Open(fault.said("cannot be written")),
        }
    }

    /// A write of the very kind that claims need. PING would answer even where every write fails.
    async fn write(&self, link: &Link) -> Result<(), Fault> {
        self.metrics.redis.probes.inc();
        link.run(&[b"SET", self.key.as_bytes(), b"", b"NX", b"GET", b"EX", b"1"]).await.map(drop)
    }

    async fn read(&self, link: &Link) -> Result<(), Fault> {
        self.metrics.redis.probes.inc();
        link.run(&[b"GET", self.key.as_bytes()]).await.map(drop)
    }
}
