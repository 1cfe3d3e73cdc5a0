//! One delivery, from request to answer, in the order in which it happens.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming;
use prometheus_client::metrics::histogram::Histogram;
use proto::claim::{Queued, State};
use proto::envelope::Delivery;
use proto::secret::Pepper;
use proto::{Claim, Fingerprint, IdempotencyKey, Payload, RunId, Selector, Timestamp};

use crate::activity::Activity;
use crate::admission::{Admission, Place};
use crate::aside::Aside;
use crate::auth::{Caller, Sender, Target, authenticate};
use crate::catalog::Catalog;
use crate::claims::{Claims, OnRedisOutage, Verdict, judge};
use crate::cors::Origin;
use crate::input::{self, Samples};
use crate::metrics::Metrics;
use crate::publish::Publisher;
use crate::queue::Queue;
use crate::refusal::Refusal;
use crate::request::headers::Header;
use crate::request::route::Route;
use crate::request::{Asked, body, encoding::Encoding, id::RequestId, key, query, trace};
use crate::respond::Accepted;
use crate::status::Runs;
use crate::wait::{self, Waiters};

/// All that a delivery meets on its way.
pub struct Gateway {
    pub(crate) admission: Arc<Admission>,
    pub(crate) draining: Admission,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) pepper: Pepper,
    pub(crate) limits: body::Limits,
    pub(crate) claims: Arc<Claims>,
    pub(crate) on_redis_outage: OnRedisOutage,
    pub(crate) queue: Queue,
    pub(crate) publisher: Publisher,
    pub(crate) runs: Runs,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) batches: Admission,
    pub(crate) origins: Vec<Origin>,
    /// Whether the contract is told to machines.
    pub(crate) openapi: bool,
    /// Places of lines, which are none of the deliveries' that come alone.
    pub(crate) lines: Admission,
    /// Retries without a target, as far as the log knows.
    pub(crate) unhelped: ops::News,
    /// Playbooks whose schema in shadow was not met, likewise.
    pub(crate) samples: Samples,
    pub(crate) aside: Aside,
    pub(crate) metrics: Arc<Metrics>,
}

/// Redis cannot say whether the key is known, and it was chosen not to go on without.
const UNCHECKED: Refusal = Refusal::Unavailable("redis: the key cannot be checked");
/// The key is claimed by this very delivery, which has no target any more.
const UNHELPED: &str = "it may have been accepted, and has no target to be published for until that is back";

/// One delivery to one request, which began at `lap`.
pub(crate) async fn deliver(
    gateway: &Gateway,
    activity: &Activity,
    route: &Route<'_>,
    asked: &Asked<'_>,
    body: &mut Incoming,
    mut lap: Instant,
) -> Result<Accepted, Refusal> {
    let headers = &asked.headers;
    let place = gateway.admission.enter()?;
    let sender = identify(gateway, activity, route, headers.secret)?.may_send()?;
    let key = key::read(headers.idempotency_key)?;
    let selector = query::read(asked.head.uri.query())?;
    let encoding = Encoding::read(headers.content_encoding)?;
    let body = body::read(body, gateway.limits).await?;
    let body = encoding.unpack(&gateway.aside, body, gateway.limits.bytes).await?;
    step(&gateway.metrics.steps().body, &mut lap);
    let (id, traceparent, wait) = (&asked.id, trace::parent(headers.traceparent), headers.wait);
    accept(gateway, &sender, Submission { place, key, selector, body, id, traceparent, wait }, lap).await
}

/// What is sent, in whichever way: a request of its own, or a line of a batch.
pub(crate) struct Submission<'a> {
    pub(crate) place: Place,
    pub(crate) key: IdempotencyKey,
    pub(crate) selector: Selector,
    /// The payload, and perhaps whitespace around it.
    pub(crate) body: Bytes,
    pub(crate) id: &'a RequestId,
    pub(crate) traceparent: Option<&'a str>,
    /// Seconds that the caller would wait for the commit.
    pub(crate) wait: Option<u8>,
}

/// The checks from the payload on, claim and publish. `lap` is when the step before ended.
pub(crate) async fn accept(
    gateway: &Gateway,
    sender: &Sender,
    sent: Submission<'_>,
    mut lap: Instant,
) -> Result<Accepted, Refusal> {
    let Submission { place, key, selector, body, id, traceparent, wait } = sent;
    let steps = gateway.metrics.steps();
    let payload = Payload::parse(&body)?;

    let run = sender.run_id(&key);
    let fingerprint = Fingerprint::compute(sender.playbook().id, &selector, &payload);
    let target = match admit(gateway, sender, &selector, &body, &payload).await {
        Ok(target) => target,
        Err(refusal) => {
            let replay = known(gateway, id, run, &fingerprint, refusal).await?;
            let Some(wait) = wait::begin(&gateway.waiters, wait, run) else { return Ok(replay) };
            return wait.ended(gateway, sender, &replay, &fingerprint).await.unwrap_or(Ok(replay));
        }
    };
    let wait = wait::begin(&gateway.waiters, wait, run);
    step(&steps.payload, &mut lap);
    let on_the_way = gateway.publisher.expect();
    let queued = Queued { project: target.project, template: target.template, key: key.clone() };
    let claimed = claim(gateway, sender, run, &fingerprint, queued, lap, place.is_alone()).await?;
    step(&steps.claim, &mut lap);
    let replay = claimed.replay(run);
    if let Some(replay) = &replay {
        let Some(wait) = &wait else { return Ok(replay.clone()) };
        if let Some(answer) = wait.ended(gateway, sender, replay, &fingerprint).await {
            return answer;
        }
    }
    ops::kill_point!(Claimed);

    let encoded = Delivery {
        run_id: run,
        organization_id: sender.organization().id,
        playbook_id: sender.playbook().id,
        project_id: target.project,
        template_id: target.template,
        target: selector,
        idempotency_key: key,
        fingerprint,
        accepted_at: claimed.claim.accepted_at,
        request_id: Some(id.as_str().into()),
        traceparent: traceparent.map(Into::into),
        reply_to: wait.as_ref().map(|wait| wait.subject().into()),
        payload,
    }
    .encode();
    // The queue may take a while, and one copy of the body is enough for that.
    drop(body);
    let (verdict, accepted_at) = (claimed.verdict, claimed.claim.accepted_at);
    let published = gateway.publisher.publish(run, claimed.ours(), encoded, place, on_the_way, lap).await;
    let accepted = match (published, replay) {
        (Ok(published), _) => Accepted::published(published, verdict, run, accepted_at),
        // It is in the stream all the same: it was published only to hear of it.
        (Err(_), Some(replay)) => return Ok(replay),
        (Err(refusal), None) => return Err(refusal),
    };
    step(&steps.publish, &mut lap);
    match wait {
        None => Ok(accepted),
        Some(wait) => {
            let answer = wait.committed(gateway, sender, accepted, &fingerprint).await;
            step(&steps.wait, &mut lap);
            answer
        }
    }
}

/// Checks 3 to 5. A right secret is to its connection's credit, even where nothing can be started with it.
pub(crate) fn identify(
    gateway: &Gateway,
    activity: &Activity,
    route: &Route<'_>,
    secret: Header<'_>,
) -> Result<Caller, Refusal> {
    let caller = gateway.catalog.look(|catalog| authenticate(catalog, &gateway.pepper, route, secret));
    let caller = caller.ok_or(Refusal::Unavailable("no catalog, or one that is too old"))??;
    activity.authenticate();
    Ok(caller)
}

/// What would refuse a new delivery, but not the retry of one that is known: its playbook's schema, its target, and the queue.
async fn admit(
    gateway: &Gateway,
    caller: &Sender,
    selector: &Selector,
    body: &Bytes,
    payload: &Payload<'_>,
) -> Result<Target, Refusal> {
    input::check(gateway, caller, body, payload).await?;
    let target = caller.resolve(selector)?;
    match gateway.queue.refuses() {
        Some(reason) => Err(Refusal::Unavailable(reason)),
        None => Ok(target),
    }
}

/// A retry is answered as one, whatever has changed since; but nothing refused here binds the key. A retry that is not
/// known to be published cannot be helped now: without target or queue there is nothing to publish. It is not refused
/// for good either, since it may have been accepted: a mark can be lost, and a mark of a stream in doubt says nothing.
async fn known(
    gateway: &Gateway,
    id: &RequestId,
    run: RunId,
    fingerprint: &Fingerprint,
    refusal: Refusal,
) -> Result<Accepted, Refusal> {
    let found = gateway.claims.look_up(run).await;
    match judge(found, fingerprint, gateway.queue.epoch()) {
        Verdict::Replay(at) => Ok(Accepted::replayed(run, at)),
        Verdict::Conflict => Err(Refusal::Conflict(run)),
        Verdict::Help(_) if !matches!(refusal, Refusal::Unavailable(_)) => {
            if gateway.unhelped.is_new(&refusal) {
                tracing::warn!(request_id = id.as_str(), %run, %refusal, "a retry is answered 503: {UNHELPED}");
            }
            Err(Refusal::Unavailable(UNHELPED))
        }
        // It may be known.
        Verdict::Deferred(_) if !matches!(refusal, Refusal::Unavailable(_)) => Err(UNCHECKED),
        Verdict::New | Verdict::Help(_) | Verdict::Deferred(_) => Err(refusal),
    }
}

/// A key that lets its delivery go on. Made only by [`claim`].
struct Claimed {
    claim: Claim,
    verdict: Verdict,
}

impl Claimed {
    /// Where there is nothing more to do: the delivery is in the stream, or was.
    fn replay(&self, run: RunId) -> Option<Accepted> {
        if let Verdict::Replay(at) = self.verdict { Some(Accepted::replayed(run, at)) } else { None }
    }

    /// The claim to mark. Of a key that Redis could not tell us about we hold none.
    fn ours(self) -> Option<Claim> {
        (!matches!(self.verdict, Verdict::Deferred(_))).then_some(self.claim)
    }
}

/// Check 13: claims the key, or finds out what is known of it.
async fn claim(
    gateway: &Gateway,
    caller: &Caller,
    run: RunId,
    fingerprint: &Fingerprint,
    queued: Queued,
    now: Instant,
    alone: bool,
) -> Result<Claimed, Refusal> {
    let mut claim = Claim {
        state: State::Claimed,
        fingerprint: fingerprint.short(),
        accepted_at: Timestamp::now(),
        playbook: caller.playbook().id,
        epoch: gateway.queue.epoch(),
        queued: Some(queued),
    };
    let verdict = judge(gateway.claims.claim(run, &claim, now, alone).await, fingerprint, claim.epoch);
    match verdict {
        Verdict::Conflict => return Err(Refusal::Conflict(run)),
        Verdict::Help(at) | Verdict::Replay(at) => claim.accepted_at = at,
        Verdict::Deferred(why) => match gateway.on_redis_outage {
            OnRedisOutage::Accept => gateway.metrics.redis.deferred(why),
            OnRedisOutage::Reject => return Err(UNCHECKED),
        },
        Verdict::New => {}
    }
    Ok(Claimed { claim, verdict })
}

/// Observes how long a step has taken that has succeeded, and begins the next.
fn step(histogram: &Histogram, lap: &mut Instant) {
    let now = Instant::now();
    histogram.observe((now - std::mem::replace(lap, now)).as_secs_f64());
}
