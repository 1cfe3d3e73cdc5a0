//! All is well again, and known to be.

use std::sync::atomic::Ordering;
use std::time::Duration;

use local::Server;
use proto::claim::State;
use proto::{Claim, StreamEpoch};
use tokio::time::{Instant, sleep};

use super::perform::Chaos;

/// How long it may take until everybody works again. What a black hole has swallowed is noticed last: half a minute
/// until the kernel gives up on a connection, as long until a statement is given up.
const PATIENCE: Duration = Duration::from_secs(120);

impl Chaos<'_> {
    /// Ends all that goes on; waits until every process is ready, and every gateway has heard of the catalog and of the
    /// stream as they are now.
    pub(super) async fn heal(&self) {
        let going_on = std::mem::take(&mut *self.going_on.lock().expect("not poisoned"));
        for (fault, _) in &going_on {
            self.end(fault).await;
        }
        for server in Server::ALL {
            self.world.stack.wire(server).heal().await;
        }
        for process in self.world.stack.processes() {
            self.world.stack.ready_within(&process.name, PATIENCE).await.expect("it recovers");
        }
        self.wait("no fault is felt any more", async || self.excuses.is_empty()).await;
        for gateway in 0..self.client.gateways() {
            for place in 0..self.places.len() {
                let is_let_in = async || self.client.is_let_in(place, gateway).await;
                self.wait("every gateway knows the catalog", is_let_in).await;
            }
            self.wait("every gateway knows the stream", async || self.knows_stream(gateway).await).await;
        }
        for (note, _) in std::mem::take(&mut *self.lost.lock().expect("not poisoned")) {
            self.book.over(note);
        }
        self.healed.store(true, Ordering::Relaxed);
    }

    /// What was seen to be wrong may well be why it never comes about, and is not to be hidden behind that.
    async fn wait(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition().await && self.seen.lock().expect("not poisoned").is_empty() {
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// A claim names the stream that its gateway knew.
    pub(super) async fn knows_stream(&self, gateway: usize) -> bool {
        let Some(epoch) = self.epoch().await else { return false };
        let canary = drill::Sending::canary(self.places, gateway);
        let answer = self.client.send(self.book, &canary, gateway, Duration::from_secs(10)).await;
        let drill::Answer::Accepted { run, deferred: false, .. } = answer else { return false };
        let mut command = redis::cmd("GET");
        command.arg(&Claim::redis_key(proto::RunId(run))[..]);
        // It may have died since.
        let Ok(value) = self.world.try_redis::<Option<Vec<u8>>>(&command).await else { return false };
        let claim = value.map(|value| Claim::decode(&value).expect("a claim"));
        claim.is_some_and(|claim| claim.epoch == epoch && matches!(claim.state, State::Claimed | State::Published))
    }

    pub(super) async fn epoch(&self) -> Option<StreamEpoch> {
        let client = async_nats::connect(self.world.stack.nats_url()).await.ok()?;
        let stream = async_nats::jetstream::new(client).get_stream(proto::queue::STREAM).await.ok()?;
        Some(StreamEpoch::from_unix_nanos(stream.cached_info().created.unix_timestamp_nanos()))
    }
}
