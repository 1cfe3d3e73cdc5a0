//! An integrator: sends everything twice at once, and again on any doubt, until it has an answer.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use futures_util::{StreamExt, future::join, stream};
use harness::{Playbook, World, payload};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::HUNG;

/// Deliveries under way at a time, each as two copies.
const AT_ONCE: usize = 6;
/// Between a delivery and the next in its place.
const PACE: Duration = Duration::from_millis(25);
/// Between an answer that is none and the next attempt.
const AGAIN: Duration = Duration::from_millis(100);
/// How long an integrator keeps trying.
const DEADLINE: Duration = Duration::from_secs(60);

/// Sends until it is told to stop, and keeps book.
pub(super) struct Sender<'a> {
    world: &'a World,
    playbook: &'a Playbook,
    prefix: String,
    stopped: AtomicBool,
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) deferred: AtomicU64,
}

impl<'a> Sender<'a> {
    pub(super) fn new(world: &'a World, playbook: &'a Playbook, prefix: &str) -> Self {
        Self {
            world,
            playbook,
            prefix: prefix.to_owned(),
            stopped: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            deferred: AtomicU64::new(0),
        }
    }

    /// What is under way is still seen to its end.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Returns the run of each key, once all are answered.
    pub(super) async fn run(&self) -> BTreeMap<String, Uuid> {
        stream::iter(0..)
            .take_while(|_| std::future::ready(!self.stopped.load(Ordering::Relaxed)))
            .map(|number| async move {
                let key = format!("{}-{number:04}", self.prefix);
                let (one, other) = join(self.insist(&key, 0), self.insist(&key, 1)).await;
                assert_eq!(one, other, "I2: {key}");
                sleep(PACE).await;
                (key, one)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }

    /// Sends one copy until it is accepted. Whatever the wire does, an answer comes, and it is a 2xx or a 503.
    async fn insist(&self, key: &str, gateway: usize) -> Uuid {
        let until = Instant::now() + DEADLINE;
        loop {
            let sent = self.world.send(self.playbook.delivery(key).gateway(gateway));
            let answer = timeout(HUNG, sent).await.unwrap_or_else(|_| panic!("{key} hung"));
            let success = match answer.status {
                202 => answer.created(),
                200 => answer.replayed(),
                _ => {
                    answer.refused(503, "unavailable");
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    assert!(Instant::now() < until, "{key} is refused for ever: {answer:?}");
                    sleep(AGAIN).await;
                    continue;
                }
            };
            self.accepted.fetch_add(1, Ordering::Relaxed);
            self.deferred.fetch_add(u64::from(success.deferred), Ordering::Relaxed);
            return success.run;
        }
    }

    /// I1, I2 and I3 of all that was sent: a row each, the run that was answered, with what was sent.
    pub(super) async fn proved(&self, answered: &BTreeMap<String, Uuid>) {
        self.world.settled().await;
        let mut runs = self.world.runs().await;
        runs.retain(|run| run.key.starts_with(&self.prefix));
        let rows: Vec<_> = runs.iter().map(|run| (run.key.clone(), run.id)).collect();
        let expected: Vec<_> = answered.iter().map(|(key, run)| (key.clone(), *run)).collect();
        assert_eq!(rows, expected);
        assert!(runs.iter().all(|run| run.payload == payload(&run.key)), "{runs:#?}");
        assert_eq!(self.world.count("dead_letters").await, 0);
    }
}
