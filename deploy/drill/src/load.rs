//! Sends a plan as integrators do: many at a time, each again after a pause until it has a definite answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::book::Book;
use crate::client::Client;
use crate::plan::{Act, Kind, Plan, Sending};

/// The pause after the first failure; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How senders behave.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How many send at a time.
    pub senders: usize,
    /// How long a sender waits for an answer.
    pub patience: Duration,
    /// How long a delivery is tried again before it is put off.
    pub insist: Duration,
    /// How long the next act waits for its count. Where a part is out until an act brings it back, no delivery may ever
    /// get through before that.
    pub stall: Duration,
}

/// A plan on its way.
pub struct Throw<'a> {
    client: &'a Client,
    book: &'a Book,
    plan: &'a Plan,
    policy: Policy,
    /// One permit for each delivery that may be begun.
    gate: Semaphore,
    opened: AtomicUsize,
    next: AtomicUsize,
    begun: watch::Sender<usize>,
    ended: AtomicUsize,
    retrying: AtomicUsize,
    put_off: Mutex<Vec<usize>>,
}

impl<'a> Throw<'a> {
    /// Nothing is sent before [`Throw::run`].
    pub fn new(client: &'a Client, book: &'a Book, plan: &'a Plan, policy: Policy) -> Self {
        Self {
            client,
            book,
            plan,
            policy,
            gate: Semaphore::new(0),
            opened: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            begun: watch::Sender::new(0),
            ended: AtomicUsize::new(0),
            retrying: AtomicUsize::new(0),
            put_off: Mutex::default(),
        }
    }

    /// Deliveries begun, deliveries done, and senders that are trying again just now.
    pub fn progress(&self) -> (usize, usize, usize) {
        (*self.begun.borrow(), self.ended.load(Ordering::Relaxed), self.retrying.load(Ordering::Relaxed))
    }

    /// Sends it all. Each act is performed once as many deliveries as it says were begun, while up to the next act's
    /// count are being sent. So acts follow one another, and none falls into silence: no delivery beyond the next act's
    /// count is begun before an act is done. Returns the deliveries that were put off.
    pub async fn run<T>(&self, acts: &[Act<T>], mut perform: impl AsyncFnMut(&T)) -> Vec<usize> {
        let senders = join_all((0..self.policy.senders).map(|_| self.sender()));
        let conduct = async {
            for (index, act) in acts.iter().enumerate() {
                self.open(act.at);
                let mut begun = self.begun.subscribe();
                _ = timeout(self.policy.stall, begun.wait_for(|begun| *begun >= act.at.min(self.plan.sendings.len())))
                    .await;
                self.open(acts.get(index + 1).map_or(usize::MAX, |next| next.at));
                perform(&act.what).await;
            }
            self.open(usize::MAX);
        };
        join(senders, conduct).await;
        std::mem::take(&mut *self.put_off.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn open(&self, to: usize) {
        // As many more as there are senders, each of which finds out by one that there is nothing left to do.
        let to = if to < self.plan.sendings.len() { to } else { self.plan.sendings.len() + self.policy.senders };
        let before = self.opened.fetch_max(to, Ordering::Relaxed);
        self.gate.add_permits(to.saturating_sub(before));
    }

    async fn sender(&self) {
        loop {
            // Cannot fail: the gate is never closed.
            if let Ok(permit) = self.gate.acquire().await {
                permit.forget();
            }
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(sending) = self.plan.sendings.get(index) else { return };
            self.begun.send_modify(|begun| *begun += 1);
            let definite = match sending.kind {
                Kind::Twin => {
                    let other = (sending.gateway + 1) % self.client.gateways();
                    let (one, two) = join(self.insist(sending, sending.gateway), self.insist(sending, other)).await;
                    one && two
                }
                _ => self.insist(sending, sending.gateway).await,
            };
            if !definite {
                self.put_off.lock().unwrap_or_else(PoisonError::into_inner).push(index);
            }
            self.ended.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// True once there is a definite answer, false if there was none in time.
    async fn insist(&self, sending: &Sending, first: usize) -> bool {
        let until = Instant::now() + self.policy.insist;
        let (mut gateway, mut pause) = (first, FIRST_PAUSE);
        if self.attempt(sending, gateway).await {
            return true;
        }
        self.retrying.fetch_add(1, Ordering::Relaxed);
        let definite = loop {
            if Instant::now() >= until {
                break false;
            }
            sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            // As a load balancer may have it.
            gateway = if fastrand::bool() { gateway } else { (gateway + 1) % self.client.gateways() };
            if self.attempt(sending, gateway).await {
                break true;
            }
        };
        self.retrying.fetch_sub(1, Ordering::Relaxed);
        definite
    }

    async fn attempt(&self, sending: &Sending, gateway: usize) -> bool {
        self.client.send(self.book, sending, gateway, self.policy.patience).await.is_definite()
    }
}
