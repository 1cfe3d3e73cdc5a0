//! One delivery, tried as the worker tries it: insert, give way, and only then look who was there.

use proto::{dead_letter::Reason, envelope::Delivery};
use tokio_postgres::{Transaction, error::SqlState};
use uuid::Uuid;

use super::target;
use crate::Error;

/// Gives way to a run that is there, or that a worker is inserting at this moment (then it waits for that to be decided).
const INSERT: &str = "
    INSERT INTO runs (id, organization_id, playbook_id, project_id, template_id, idempotency_key, fingerprint, payload, accepted_at,
        request_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::json, $9, $10) ON CONFLICT DO NOTHING";

/// A statement of its own: the insert cannot see a row that was committed after it began, although it gave way to it.
const SAME: &str = "SELECT fingerprint = $2 FROM runs WHERE id = $1";

pub(super) enum Attempt {
    /// Its run is there, made by this attempt.
    Created,
    /// Its run was there.
    Duplicate,
    /// There is none, and why.
    Failed(Reason, String),
}

pub(super) async fn attempt(transaction: &mut Transaction<'_>, delivery: &Delivery<'_>) -> Result<Attempt, Error> {
    let run = delivery.run_id.0;
    let target = match target::resolve(transaction, delivery).await? {
        Ok(target) => target,
        // Its run may be there all the same: made when there was a target, and kept.
        Err(missing) => {
            return Ok(match there(transaction, delivery).await? {
                Some(true) => Attempt::Duplicate,
                Some(false) => conflict(run),
                None => Attempt::Failed(Reason::TargetNotFound, missing),
            });
        }
    };
    let (organization, playbook) = (delivery.organization_id.0, delivery.playbook_id.0);
    let (key, payload) = (delivery.idempotency_key.as_str(), delivery.payload.as_str());
    let (fingerprint, accepted) =
        (delivery.fingerprint.0.as_slice(), std::time::SystemTime::from(delivery.accepted_at));
    // So that a row that is refused fails alone.
    let savepoint = transaction.transaction().await?;
    let inserted = savepoint
        .execute(
            INSERT,
            &[
                &run,
                &organization,
                &playbook,
                &target.project,
                &target.template,
                &key,
                &fingerprint,
                &payload,
                &accepted,
                &delivery.request_id.as_deref(),
            ],
        )
        .await;
    match inserted {
        Ok(count) => {
            savepoint.commit().await?;
            if count == 1 {
                return Ok(Attempt::Created);
            }
        }
        Err(error) => {
            let Some(failed) = refusal(&error) else { return Err(error.into()) };
            savepoint.rollback().await?;
            return Ok(failed);
        }
    }
    match there(transaction, delivery).await? {
        Some(true) => Ok(Attempt::Duplicate),
        Some(false) => Ok(conflict(run)),
        None => Err(Error::Failed("its run was deleted meanwhile; nothing is changed, try again".to_owned())),
    }
}

/// True if the run that the delivery's key names has its content; none where there is no such run.
pub(super) async fn there(transaction: &Transaction<'_>, delivery: &Delivery<'_>) -> Result<Option<bool>, Error> {
    let row = transaction.query_opt(SAME, &[&delivery.run_id.0, &delivery.fingerprint.0.as_slice()]).await?;
    Ok(row.map(|row| row.get(0)))
}

fn conflict(run: Uuid) -> Attempt {
    Attempt::Failed(
        Reason::IdempotencyConflict,
        format!("its key names run {run}, which has another payload or target"),
    )
}

/// The same codes as the worker's: the row is at fault, not Postgres.
fn refusal(error: &tokio_postgres::Error) -> Option<Attempt> {
    let code = error.code()?;
    if *code == SqlState::FOREIGN_KEY_VIOLATION {
        return Some(Attempt::Failed(Reason::TargetNotFound, "its target went at this very moment".to_owned()));
    }
    let refused = code.code().starts_with("22") || code.code().starts_with("23") || code.code() == "54001";
    // Without Postgres' own text, which can quote the row.
    refused
        .then(|| Attempt::Failed(Reason::DataRefused, format!("PostgreSQL refuses the row: SQLSTATE {}", code.code())))
}
