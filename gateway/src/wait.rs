//! `Prefer: wait=N`: the answer comes once the run is committed, or once it is known that it cannot be; and without either
//! when the time is up, as if nobody had waited.
//!
//! ```text
//!   handler ──▶ message, with a subject to reply on ──▶ worker: COMMIT, ack
//!      ▲                                                   │
//!      └── 201, 409, 422 ◀── waiters ◀── core NATS ◀───────┘
//! ```
//!
//! The subject goes with the delivery itself, so that whichever worker commits it, now or after a crash, tells who waits. Nothing depends
//! on it: a reply that is lost costs its caller the time.

mod waiters;

use std::sync::Arc;

use proto::dead_letter::Reason;
use proto::reply::Outcome;
use proto::{Fingerprint, RunId};
use tokio::time::{Duration, Instant, timeout_at};

use self::waiters::Waiter;
pub(crate) use self::waiters::Waiters;
use crate::auth::Caller;
use crate::handler::Gateway;
use crate::refusal::Refusal;
use crate::respond::Accepted;
use crate::status::{Fate, Letters, Status};

/// A caller that waits.
pub(crate) struct Wait {
    waiter: Waiter,
    seconds: u8,
    until: Instant,
}

/// Whether this caller waits. Where too many do, it is answered like those who do not.
pub(crate) fn begin(waiters: &Arc<Waiters>, seconds: Option<u8>, run: RunId) -> Option<Wait> {
    let seconds = seconds?;
    let waiter = waiters.begin(run)?;
    Some(Wait { waiter, seconds, until: Instant::now() + Duration::from_secs(seconds.into()) })
}

impl Wait {
    /// Where the worker is to reply.
    pub(crate) fn subject(&self) -> String {
        self.waiter.subject()
    }

    /// The answer to a replay whose end is in Postgres already; none where it is not, or cannot be read.
    pub(crate) async fn ended(
        &self,
        gateway: &Gateway,
        caller: &Caller,
        replay: &Accepted,
        fingerprint: &Fingerprint,
    ) -> Option<Result<Accepted, Refusal>> {
        let run = replay.run();
        let status = self.read(gateway, caller, run, fingerprint).await?;
        Some(match status.fate(fingerprint) {
            Fate::Created(_) => Ok(replay.clone().committed(self.seconds)),
            Fate::Conflict => Err(self.refused(Refusal::Conflict(run))),
            Fate::Rejected(reason) => Err(self.refused(refusal(reason?, run)?)),
        })
    }

    /// What Postgres has of it; none where it has nothing, or too many ask.
    async fn read(&self, gateway: &Gateway, caller: &Caller, run: RunId, fingerprint: &Fingerprint) -> Option<Status> {
        let _place = gateway.runs.enter().ok()?;
        let read = gateway.runs.read(run, caller.playbook().id, Letters::Of(fingerprint.short()));
        timeout_at(self.until, read).await.ok()?.ok()?
    }

    fn refused(&self, refusal: Refusal) -> Refusal {
        Refusal::Waited(Box::new(refusal), self.seconds)
    }

    /// The answer to a delivery that was published, as far as it has got in time.
    pub(crate) async fn committed(
        mut self,
        gateway: &Gateway,
        caller: &Caller,
        accepted: Accepted,
        fingerprint: &Fingerprint,
    ) -> Result<Accepted, Refusal> {
        let told = timeout_at(self.until, self.waiter.told()).await;
        match told {
            Ok(Some(Outcome::Created)) => Ok(accepted.committed(self.seconds)),
            // By this message, given out twice, or by another delivery, which Redis has forgotten: the row knows.
            Ok(Some(Outcome::Duplicate)) => {
                let status = self.read(gateway, caller, accepted.run(), fingerprint).await;
                match status.map(|status| status.fate(fingerprint)) {
                    Some(Fate::Created(at)) => Ok(accepted.since(at).committed(self.seconds)),
                    _ => Ok(accepted.waited(self.seconds)),
                }
            }
            Ok(Some(Outcome::Buried(reason))) => match refusal(reason, accepted.run()) {
                Some(refusal) => Err(self.refused(refusal)),
                None => Ok(accepted.waited(self.seconds)),
            },
            Ok(None) => Ok(accepted),
            Err(_elapsed) => Ok(accepted.waited(self.seconds)),
        }
    }
}

/// What is answered for good, where a delivery became a dead letter.
fn refusal(reason: Reason, run: RunId) -> Option<Refusal> {
    match reason {
        Reason::IdempotencyConflict => Some(Refusal::Conflict(run)),
        Reason::TargetNotFound => Some(Refusal::TargetNotFound),
        Reason::DataRefused => Some(Refusal::DataRefused),
        // Of a whole message, which no delivery is to blame for: it may yet be replayed.
        Reason::MalformedMessage | Reason::PoisonMessage => None,
    }
}
