//! Run status: where a delivery has got, for whoever holds the playbook's secret.
//!
//! A run that is there is told from its row, one that cannot be from its dead letter. Until then it is in the queue, which
//! cannot be searched; the claim says so, once it is marked. What none of them knows is unknown only where no claim can have
//! been lost: a 404 tells a caller that there was no such delivery, and to send it would make another run of it if there was.

mod runs;

use std::time::Duration;

use http::request::Parts;
use proto::dead_letter::Reason;
use proto::{Claim, Fingerprint, IdempotencyKey, RunId, Slug, Timestamp};
use serde::{Serialize, Serializer};
use tokio::time::sleep;

pub(crate) use self::runs::Runs;
use crate::activity::Activity;
use crate::auth::Caller;
use crate::claims::{Found, is_published};
use crate::handler::{Gateway, identify};
use crate::refusal::Refusal;
use crate::request::key;
use crate::request::route::{Resource, Route};

/// Milliseconds between looks at a claim whose mark may be on its way: a delivery is answered before it is marked.
const PAUSES: [u64; 9] = [2, 4, 8, 16, 32, 64, 128, 256, 512];

/// What is told of a run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    run_id: RunId,
    #[serde(flatten)]
    stage: Stage,
    /// As sent; null where an older gateway has accepted it and it is still queued.
    idempotency_key: Option<IdempotencyKey>,
    /// The first half of the fingerprint, which is what a claim has room for, in hex.
    fingerprint: String,
    /// Slug, as it is now; null where the project is not there any more, or not known yet.
    project: Option<String>,
    /// As the project.
    template: Option<String>,
    accepted_at: Timestamp,
}

/// How far it has got.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Stage {
    /// Accepted; its row follows.
    Queued,
    /// The row is there.
    Created {
        /// When its transaction began.
        created_at: Timestamp,
    },
    /// It was accepted and cannot become a run.
    Rejected {
        /// Why, as in the dead letter.
        #[serde(serialize_with = "code")]
        reason: Reason,
    },
}

/// What Postgres makes of a delivery.
pub(crate) enum Fate {
    /// Its run is there, accepted then.
    Created(Timestamp),
    /// The run of its key is another's.
    Conflict,
    /// It became a dead letter.
    Rejected(Reason),
}

impl Status {
    /// What was read, as the fate of the delivery with this fingerprint.
    pub(crate) fn fate(&self, fingerprint: &Fingerprint) -> Fate {
        match &self.stage {
            Stage::Rejected { reason } => Fate::Rejected(*reason),
            _ if self.fingerprint != hex::encode(fingerprint.short()) => Fate::Conflict,
            _ => Fate::Created(self.accepted_at),
        }
    }

    /// The metric label.
    pub(crate) fn outcome(&self) -> &'static str {
        match self.stage {
            Stage::Queued => "queued",
            Stage::Created { .. } => "created",
            Stage::Rejected { .. } => "rejected",
        }
    }

    fn queued(run: RunId, claim: Claim, caller: &Caller) -> Self {
        let organization = caller.organization();
        let project = claim.queued.as_ref().and_then(|queued| slug(&organization.projects, &queued.project));
        let template = claim.queued.as_ref().and_then(|queued| slug(&organization.templates, &queued.template));
        Self {
            run_id: run,
            stage: Stage::Queued,
            idempotency_key: claim.queued.map(|queued| queued.key),
            fingerprint: hex::encode(claim.fingerprint),
            project,
            template,
            accepted_at: claim.accepted_at,
        }
    }
}

fn code<S: Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reason.as_str())
}

/// By its id, in a map of an organization's that is made to be asked by slug.
fn slug<T: PartialEq>(entries: &std::collections::HashMap<Slug, T>, id: &T) -> Option<String> {
    entries.iter().find_map(|(slug, entry)| (entry == id).then(|| slug.to_string()))
}

/// Answers a question after a run. A playbook that is disabled or killed starts nothing, and keeps its runs.
pub(crate) async fn tell(
    gateway: &Gateway,
    activity: &Activity,
    route: &Route<'_>,
    head: &Parts,
) -> Result<Status, Refusal> {
    let caller = identify(gateway, activity, route, &head.headers)?;
    let run = match route.resource {
        Resource::Run(run) => run,
        Resource::Runs | Resource::Deliveries | Resource::Batch => caller.run_id(&key::query(head.uri.query())?),
    };
    let _place = gateway.runs.enter()?;
    for pause in PAUSES {
        match look(gateway, &caller, run).await? {
            Look::Told(status) => return Ok(status),
            Look::Unmarked => sleep(Duration::from_millis(pause)).await,
        }
    }
    match look(gateway, &caller, run).await? {
        Look::Told(status) => Ok(status),
        Look::Unmarked => {
            Err(Refusal::Unavailable("it is not known whether this delivery is queued: it may be sent again"))
        }
    }
}

enum Look {
    Told(Status),
    /// Somebody has claimed the key, and it is not known to be published.
    Unmarked,
}

async fn look(gateway: &Gateway, caller: &Caller, run: RunId) -> Result<Look, Refusal> {
    // The claim first: if the row came between the two, it is found.
    let found = gateway.claims.look_up(run).await;
    // A key of the organization's that was sent to another playbook names nothing here.
    let ours = match &found {
        Found::Held(claim) => (claim.playbook == caller.playbook().id).then_some(claim.fingerprint),
        Found::Absent | Found::Unknown(_) => None,
    };
    if let Some(status) = gateway.runs.read(run, caller.playbook().id, ours).await? {
        return Ok(Look::Told(status));
    }
    match found {
        Found::Held(_) if ours.is_none() => Err(Refusal::NotFound),
        Found::Held(claim) if is_published(&claim, gateway.queue.epoch()) => {
            Ok(Look::Told(Status::queued(run, claim, caller)))
        }
        Found::Held(_) => Ok(Look::Unmarked),
        Found::Absent if knows_all(gateway) => Err(Refusal::NotFound),
        Found::Absent => Err(Refusal::Unavailable("redis was away, and what was accepted meanwhile is still queued")),
        Found::Unknown(_) => Err(Refusal::Unavailable("redis: it cannot be told whether this delivery is queued")),
    }
}

/// Whether nothing is queued that was accepted without a claim, or whose claim was lost: all that was published before Redis
/// was back, and a little after, is settled.
fn knows_all(gateway: &Gateway) -> bool {
    let (since, settled) = (gateway.claims.reliable_since(), gateway.queue.settled_until());
    matches!((since, settled), (Some(since), Some(settled)) if settled >= since + STRAGGLERS)
}

/// How much later than this gateway another may find that Redis is back, or publish what it accepted before.
const STRAGGLERS: Duration = Duration::from_secs(2);
