//! Finds out, off every delivery's time, what Redis is good for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Client, Cmd};
use tokio::time::sleep;
use uuid::Uuid;

use super::breaker::{Access, Breaker, State};
use super::link::{Fault, Link};
use super::rest::Rest;
use super::set_if_absent;
use crate::metrics::Metrics;

/// Pause between probes while all is well, so that an outage is noticed where no delivery comes.
const WELL: Duration = Duration::from_secs(1);

pub(super) struct Probe {
    client: Client,
    patience: Duration,
    /// A write of the very kind that claims need. PING would answer even where every write fails.
    write: Cmd,
    read: Cmd,
    metrics: Arc<Metrics>,
}

impl Probe {
    pub(super) fn new(client: Client, patience: Duration, metrics: Arc<Metrics>) -> Self {
        let key = format!("rl:probe:{}", Uuid::new_v4().simple());
        let write = set_if_absent(&key, b"", Duration::from_secs(1));
        let mut read = redis::cmd("GET");
        read.arg(&key);
        Self { client, patience, write, read, metrics }
    }

    /// Never ends.
    pub(super) async fn keep_asking(&self, breaker: &Breaker) {
        let mut rest = Rest::default();
        loop {
            let state = breaker.now();
            if let Some(link) = state.writes() {
                rest.works(Instant::now());
                let answer = self.ask(link, &self.write).await;
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
        let link = match Link::connect(&self.client, self.patience).await {
            Ok(link) => link,
            Err(fault) => return State::Open(fault.said("cannot be reached")),
        };
        match self.ask(&link, &self.write).await {
            Ok(()) => State::Closed(link),
            Err(Fault::Refused(code)) => match self.ask(&link, &self.read).await {
                Ok(()) => State::ReadOnly(link, code),
                Err(fault) => State::Open(fault.said("cannot be read")),
            },
            Err(fault) => State::Open(fault.said("cannot be written")),
        }
    }

    async fn ask(&self, link: &Link, command: &Cmd) -> Result<(), Fault> {
        self.metrics.redis.probes.inc();
        link.run::<Option<Vec<u8>>>(command).await.map(drop)
    }
}
