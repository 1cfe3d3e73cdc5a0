//! The dead letter of a raw message: nobody could read it then, perhaps we can now.
//!
//! Its deliveries have no dead letter of their own, so a retry of one may have become a run meanwhile. That run is
//! found here, and counts as what the delivery ended as (I3).

use proto::{
    RunId,
    dead_letter::{Reason, identity},
    envelope::{self, Delivery},
};
use tokio_postgres::Transaction;

use super::{
    attempt::{Attempt, attempt, there},
    letter::Letter,
    lock::Lock,
    replay::Replay,
    report::Ending,
};
use crate::Error;

const BURY: &str = "
    INSERT INTO dead_letters (identity, reason, detail, run_id, organization_id, playbook_id, project_id, template_id,
        project_slug, template_slug, idempotency_key, fingerprint, payload, accepted_at, stream_epoch, stream_sequence, origin_id,
        request_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
    ON CONFLICT (identity) DO NOTHING";

/// Reads it; the deliveries by run id, which is the order in which workers insert too, so that none waits in a circle.
pub(super) fn read(letter: &Letter) -> Result<Vec<Delivery<'_>>, String> {
    let mut deliveries = envelope::decode(&letter.payload).map_err(|error| format!("still unreadable: {error}"))?;
    deliveries.sort_by_key(|delivery| delivery.run_id);
    Ok(deliveries)
}

/// Gives each delivery its end: a run made now, a run that is there, or a dead letter of its own. Or says why the
/// message is still unreadable. None where the lock must be had alone: another message may carry what has no target here.
pub(super) async fn replay(
    transaction: &mut Transaction<'_>,
    letter: &Letter,
    lock: Lock,
) -> Result<Option<Replay>, Error> {
    let deliveries = match read(letter) {
        Ok(deliveries) => deliveries,
        Err(unreadable) => return Ok(Some(Replay::unchanged(unreadable))),
    };
    let (mut runs, mut created, mut duplicates, mut failed) = (Vec::new(), 0, 0, Vec::new());
    let mut buried = 0;
    for delivery in &deliveries {
        if is_buried(transaction, delivery).await? {
            buried += 1;
            continue;
        }
        match attempt(transaction, delivery).await? {
            Attempt::Created => created += 1,
            Attempt::Duplicate => duplicates += 1,
            Attempt::Failed(Reason::TargetNotFound, _) if lock == Lock::Shared => return Ok(None),
            Attempt::Failed(reason, detail) => {
                failed.push((identity(delivery.run_id, &delivery.fingerprint), delivery, reason, detail));
                continue;
            }
        }
        runs.push(delivery.run_id);
    }
    // After all runs, and by identity: the order in which workers bury.
    failed.sort_by(|a, b| a.0.cmp(&b.0));
    for (identity, delivery, reason, detail) in &failed {
        bury(transaction, letter, identity, delivery, reason.as_str(), detail).await?;
    }
    runs.dedup();
    let dead = buried + failed.len();
    let detail = match (runs.as_slice(), dead) {
        ([run], 0) if created == 1 => format!("run {run}"),
        ([run], 0) => format!("run {run}, which was there already"),
        _ => format!(
            "{} deliveries: {created} runs made, {duplicates} there already, {dead} with a dead letter of their own",
            deliveries.len()
        ),
    };
    Ok(Some(Replay { ending: Ending::Replayed, detail, runs, created }))
}

/// Runs that are there for the deliveries of a message.
pub(super) async fn runs(transaction: &Transaction<'_>, letter: &Letter) -> Result<Vec<RunId>, Error> {
    let mut runs = Vec::new();
    for delivery in read(letter).unwrap_or_default() {
        if there(transaction, &delivery).await? == Some(true) {
            runs.push(delivery.run_id);
        }
    }
    runs.dedup();
    Ok(runs)
}

/// True if this very delivery has a dead letter of its own, in whatever state: only its own replay makes a run of it.
pub(super) async fn is_buried(transaction: &Transaction<'_>, delivery: &Delivery<'_>) -> Result<bool, Error> {
    let buried = "SELECT EXISTS (SELECT FROM dead_letters WHERE identity = $1)";
    let identity = identity(delivery.run_id, &delivery.fingerprint);
    Ok(transaction.query_one(buried, &[&identity]).await?.get(0))
}

async fn bury(
    transaction: &Transaction<'_>,
    letter: &Letter,
    identity: &[u8],
    delivery: &Delivery<'_>,
    reason: &str,
    detail: &str,
) -> Result<(), Error> {
    let slug = |slug: &Option<proto::Slug>| slug.as_ref().map(ToString::to_string);
    let (project, template) = (slug(&delivery.target.project), slug(&delivery.target.template));
    transaction
        .execute(
            BURY,
            &[
                &identity,
                &reason,
                &detail,
                &delivery.run_id.0,
                &delivery.organization_id.0,
                &delivery.playbook_id.0,
                &delivery.project_id.0,
                &delivery.template_id.0,
                &project,
                &template,
                &delivery.idempotency_key.as_str(),
                &delivery.fingerprint.0.as_slice(),
                &delivery.payload.as_str().as_bytes(),
                &std::time::SystemTime::from(delivery.accepted_at),
                &letter.message.0,
                &letter.message.1,
                &letter.id,
                &delivery.request_id.as_deref(),
            ],
        )
        .await?;
    Ok(())
}
