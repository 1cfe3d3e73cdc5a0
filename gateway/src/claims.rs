//! Step 13: the claim on an idempotency key, in one round trip to Redis, or in none while the [`breaker`] is open.

mod breaker;
mod link;
mod probe;
mod resp;
mod rest;
mod socket;
mod verdict;
mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use proto::{Claim, RunId};
use redis::{ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisResult};

use self::breaker::{Access, Breaker, State};
use self::link::Fault;
use self::probe::Probe;
use self::resp::Set;
use crate::metrics::Metrics;

pub(crate) use breaker::Kind as BreakerState;
pub(crate) use verdict::is_published;
pub use verdict::{Verdict, judge};

/// What Redis says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nobody held it. After [`Claims::claim`] we do.
    Absent,
    /// Somebody holds it.
    Held(Claim),
    /// Redis decides nothing (I5).
    Unknown(Unchecked),
}

/// Why a key could not be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unchecked {
    /// Redis was not asked: the breaker is open.
    Open,
    /// Redis did not answer in time, or the connection broke. Our claim may be there nevertheless; a retry then helps.
    NoAnswer,
    /// Redis refuses writes, and knows of no claim.
    ReadOnly,
    /// The key holds what this gateway cannot read: a claim of a later version, or none.
    Unreadable,
}

impl Unchecked {
    pub(crate) const ALL: [Self; 4] = [Self::Open, Self::NoAnswer, Self::ReadOnly, Self::Unreadable];

    /// The metric label.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::NoAnswer => "no_answer",
            Self::ReadOnly => "read_only",
            Self::Unreadable => "unreadable",
        }
    }
}

/// What becomes of a delivery whose key Redis cannot check (I5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnRedisOutage {
    /// It is accepted, its check deferred: a conflicting reuse of the key ends as a dead letter.
    Accept,
    /// It is answered 503. What Redis still knows is answered from there.
    Reject,
}

/// Redis, as far as claims go.
pub struct Claims {
    breaker: Breaker,
    probe: Probe,
    /// Claims a key, for as long as it is remembered.
    claim: Set,
    /// Writes over a claim that is still there.
    mark: Set,
    metrics: Arc<Metrics>,
}

impl Claims {
    /// Nothing is known of Redis until [`Claims::watch`] runs.
    pub fn new(url: &str, window: Duration, patience: Duration, metrics: &Arc<Metrics>) -> RedisResult<Self> {
        let redis = url.into_connection_info()?;
        if !matches!(redis.addr(), ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_)) {
            return Err((ErrorKind::InvalidClientConfig, "neither TCP nor a Unix socket").into());
        }
        let probe = Probe::new(redis, patience, Arc::clone(metrics));
        let breaker = Breaker::new(Arc::clone(metrics));
        let claim = Set::new(&[b"NX", b"GET", b"EX", window.as_secs().to_string().as_bytes()]);
        let mark = Set::new(&[b"XX", b"KEEPTTL"]);
        Ok(Self { breaker, probe, claim, mark, metrics: Arc::clone(metrics) })
    }

    /// Connects, and keeps finding out what Redis is good for. Never ends.
    pub async fn watch(&self) {
        self.probe.keep_asking(&self.breaker).await;
    }

    /// What is wrong with Redis, for operators.
    pub fn trouble(&self) -> Option<String> {
        self.breaker.now().trouble()
    }

    /// What the breaker makes of Redis now.
    pub(crate) fn breaker(&self) -> BreakerState {
        self.breaker.now().kind()
    }

    /// Claims the key, or finds out who holds it. `now` is for whoever knows it already; `alone` is a guess that no other delivery
    /// is at hand.
    pub async fn claim(&self, run: RunId, claim: &Claim, now: Instant, alone: bool) -> Found {
        let state = self.breaker.now();
        let State::Closed(link) = &*state else { return self.unclaimed(run).await };
        self.metrics.redis.claims.inc();
        let claimed = link.run_all(1, now, alone, |out| self.claim.write(out, &Claim::redis_key(run), &claim.encode()));
        match self.breaker.judged(&state, Access::Write, claimed.await) {
            Ok(held) => read(held),
            // Full, Redis refuses even to SET what NX would have left alone.
            Err(Fault::Refused(_)) => self.unclaimed(run).await,
            Err(fault) => Found::Unknown(fault.into()),
        }
    }

    /// What is known of a key that cannot be claimed now.
    async fn unclaimed(&self, run: RunId) -> Found {
        match self.look_up(run).await {
            Found::Absent => Found::Unknown(Unchecked::ReadOnly),
            found => found,
        }
    }

    /// Looks at the key without claiming it.
    pub async fn look_up(&self, run: RunId) -> Found {
        let state = self.breaker.now();
        let Some(link) = state.reads() else { return Found::Unknown(Unchecked::Open) };
        self.metrics.redis.look_ups.inc();
        match self.breaker.judged(&state, Access::Read, link.run(&[b"GET", &Claim::redis_key(run)]).await) {
            Ok(held) => read(held),
            Err(fault) => Found::Unknown(fault.into()),
        }
    }

    /// Writes what was published over the claims, where these still exist. Whole values, own fingerprint included:
    /// what was published is a fact, and if Redis was emptied and the claim meanwhile names another payload, the
    /// fact wins. False if that did not work, or is not tried now.
    pub async fn mark(&self, published: &[(RunId, Claim)]) -> bool {
        if published.is_empty() {
            return true;
        }
        let state = self.breaker.now();
        let Some(link) = state.writes() else { return false };
        self.metrics.redis.marks.inc_by(published.len() as u64);
        let marked = link.run_all(published.len(), Instant::now(), false, |out| {
            for (run, claim) in published {
                self.mark.write(out, &Claim::redis_key(*run), &claim.encode());
            }
        });
        self.breaker.judged(&state, Access::Write, marked.await).is_ok()
    }
}

fn read(held: Option<Vec<u8>>) -> Found {
    match held {
        None => Found::Absent,
        // A version that we do not know belongs to a newer gateway: not absent, and not ours to judge.
        Some(bytes) => Claim::decode(&bytes).map_or(Found::Unknown(Unchecked::Unreadable), Found::Held),
    }
}

impl From<Fault> for Unchecked {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Foreign => Self::Unreadable,
            Fault::Late | Fault::Lost | Fault::Refused(_) => Self::NoAnswer,
        }
    }
}
