//! Run status: where a delivery has got, for whoever holds the playbook's secret.
//!
//! A run that is there is told from its row, one that cannot be from its dead letter. Until then it is in the queue, which
//! cannot be searched; the claim says so, once it is marked. What none of them knows is unknown only once all that was queued
//! before the question is settled: a 404 tells a caller that there was no such delivery, and must not be wrong.

mod runs;

use std::time::Duration;

use proto::dead_letter::Reason;
use proto::{Claim, Fingerprint, IdempotencyKey, PlaybookId, RunId, Slug, Timestamp};
use serde::Serialize;
use tokio::time::sleep;

pub(crate) use self::runs::{Letters, Runs};
use crate::activity::Activity;
use crate::auth::Caller;
use crate::claims::{Found, is_published};
use crate::handler::{Gateway, identify};
use crate::refusal::Refusal;
use crate::request::route::{Resource, Route};
use crate::request::{Asked, key};

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
        reason: String,
    },
}

/// What Postgres makes of a delivery.
pub(crate) enum Fate {
    /// Its run is there, accepted then.
    Created(Timestamp),
    /// The run of its key is another's.
    Conflict,
    /// It became a dead letter, for a reason that is known here.
    Rejected(Option<Reason>),
}

impl Status {
    /// What was read, as the fate of the delivery with this fingerprint.
    pub(crate) fn fate(&self, fingerprint: &Fingerprint) -> Fate {
        match &self.stage {
            Stage::Rejected { reason } => Fate::Rejected(reason.parse().ok()),
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

/// By its id, in a map of an organization's that is made to be asked by slug.
fn slug<T: PartialEq>(entries: &std::collections::HashMap<Slug, T>, id: &T) -> Option<String> {
    entries.iter().find_map(|(slug, entry)| (entry == id).then(|| slug.to_string()))
}

/// Answers a question after a run. A playbook that is disabled or killed starts nothing, and keeps its runs.
pub(crate) async fn tell(
    gateway: &Gateway,
    activity: &Activity,
    route: &Route<'_>,
    asked: &Asked<'_>,
) -> Result<Status, Refusal> {
    let caller = identify(gateway, activity, route, asked.headers.secret)?;
    let run = match route.resource {
        Resource::Run(run) => run,
        Resource::Runs | Resource::Deliveries | Resource::Batch => caller.run_id(&key::query(asked.head.uri.query())?),
    };
    let _place = gateway.runs.enter()?;
    let playbook = caller.playbook().id;
    let mut pauses = PAUSES.into_iter();
    let mut first = true;
    loop {
        // The claim first: if the row comes between the two, it is found.
        let found = gateway.claims.look_up(run).await;
        // A key of the organization's that was sent to another playbook names nothing here.
        let ours = if let Found::Held(claim) = &found { (claim.playbook == playbook).then_some(claim) } else { None };
        let published = ours.is_some_and(|claim| is_published(claim, gateway.queue.epoch()));
        let unmarked = ours.is_some() && !published;
        let letters = match (&found, ours) {
            (_, Some(claim)) => Letters::Of(claim.fingerprint),
            // A newer delivery of the key may be queued.
            (Found::Unknown(_), None) => Letters::None,
            (_, None) => Letters::Any,
        };
        if (first || !unmarked || pauses.len() == 0)
            && let Some(status) = gateway.runs.read(run, playbook, letters).await?
        {
            return Ok(status);
        }
        first = false;
        match (found, pauses.next()) {
            (Found::Held(claim), _) if published => return Ok(Status::queued(run, claim, &caller)),
            (Found::Held(_), Some(pause)) if unmarked => sleep(Duration::from_millis(pause)).await,
            (Found::Held(_), None) if unmarked => return Err(Refusal::Unavailable(UNMARKED)),
            (Found::Unknown(_), _) => return Err(Refusal::Unavailable(UNASKED)),
            (Found::Absent | Found::Held(_), _) => return unknown(gateway, run, playbook).await,
        }
    }
}

const UNMARKED: &str = "it is not known whether this delivery is queued: it may be sent again";
const UNASKED: &str = "redis: it cannot be told whether this delivery is queued";
const UNSETTLED: &str = "what was accepted without redis, or what redis has forgotten, may still be queued";
const UNREAD: &str = "a message that could not be read, which is a dead letter, may hold it";

/// Of what Redis does not know, or knows of another playbook: whatever was accepted before the question has left the queue, and then
/// has a row, a dead letter, or neither. Redis is not believed in this: it may have been away, or emptied, for whoever accepted it.
async fn unknown(gateway: &Gateway, run: RunId, playbook: PlaybookId) -> Result<Status, Refusal> {
    if !gateway.queue.drained(gateway.runs.patience()).await {
        return Err(Refusal::Unavailable(UNSETTLED));
    }
    match gateway.runs.read(run, playbook, Letters::Any).await? {
        Some(status) => Ok(status),
        None if gateway.runs.has_unread().await? => Err(Refusal::Unavailable(UNREAD)),
        None => Err(Refusal::NotFound),
    }
}
