//! Step 3 of the transaction: dead letters.

use std::{borrow::Cow, time::SystemTime};

use deadpool_postgres::Object;
use proto::{
    dead_letter::{Reason, identity, raw_identity},
    envelope::Delivery,
};
use uuid::Uuid;

use ops::postgres::Trouble;

use crate::{commit::Settled, outcome::Then, suspect::bigint};

/// Ordered by identity, for the same reason as the runs. No conflict target, which would need the right to read it;
/// the identity is the only one that can meet its like.
const BURY: &str = "
    INSERT INTO dead_letters (identity, reason, detail, run_id, organization_id, playbook_id, project_id, template_id,
        project_slug, template_slug, idempotency_key, fingerprint, payload, accepted_at, stream_epoch, stream_sequence,
        request_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
    ON CONFLICT DO NOTHING";

struct Letter<'a> {
    identity: Vec<u8>,
    reason: Reason,
    detail: Cow<'a, str>,
    delivery: Option<&'a Delivery<'a>>,
    payload: &'a [u8],
    sequence: u64,
}

/// Writes a dead letter for each outcome that asks for one, and returns how many were not there yet. Sent all at once:
/// one round trip.
pub(crate) async fn bury(connection: &Object, settled: &Settled<'_, '_>) -> Result<u64, Trouble> {
    let batch = settled.decoded.batch();
    let messages = batch.messages();
    let mut letters: Vec<Letter<'_>> = Vec::new();
    for (item, outcome) in settled.items() {
        if let Then::Bury(reason, detail) = outcome.then() {
            let delivery = &item.delivery;
            letters.push(Letter {
                identity: identity(delivery.run_id, &delivery.fingerprint),
                reason,
                detail,
                delivery: Some(delivery),
                payload: delivery.payload.as_str().as_bytes(),
                sequence: messages[item.message].sequence,
            });
        }
    }
    for whole in settled.decoded.wholes() {
        if let Then::Bury(reason, detail) = whole.outcome.then() {
            let message = &messages[whole.message];
            letters.push(Letter {
                identity: raw_identity(message.payload()),
                reason,
                detail,
                delivery: None,
                payload: message.payload(),
                sequence: message.sequence,
            });
        }
    }
    if letters.is_empty() {
        return Ok(0);
    }
    letters.sort_by(|a, b| a.identity.cmp(&b.identity));
    let statement = connection.prepare_cached(BURY).await?;
    let epoch = bigint(batch.epoch().0);
    let writes = letters.iter().map(|letter| write(connection, &statement, epoch, letter));
    Ok(futures_util::future::try_join_all(writes).await?.into_iter().sum())
}

async fn write(
    connection: &Object,
    statement: &tokio_postgres::Statement,
    epoch: i64,
    letter: &Letter<'_>,
) -> Result<u64, tokio_postgres::Error> {
    let of = letter.delivery;
    let id = |id: fn(&Delivery<'_>) -> Uuid| of.map(id);
    let run = id(|delivery| delivery.run_id.0);
    let organization = id(|delivery| delivery.organization_id.0);
    let playbook = id(|delivery| delivery.playbook_id.0);
    let project = id(|delivery| delivery.project_id.0);
    let template = id(|delivery| delivery.template_id.0);
    let project_slug = of.and_then(|delivery| delivery.target.project.as_ref()).map(|slug| slug.as_str());
    let template_slug = of.and_then(|delivery| delivery.target.template.as_ref()).map(|slug| slug.as_str());
    let key = of.map(|delivery| delivery.idempotency_key.as_str());
    let fingerprint = of.map(|delivery| delivery.fingerprint.0.as_slice());
    let accepted = of.map(|delivery| SystemTime::from(delivery.accepted_at));
    let request = of.and_then(|delivery| delivery.request_id.as_deref());
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 17] = [
        &letter.identity,
        &letter.reason.as_str(),
        &letter.detail,
        &run,
        &organization,
        &playbook,
        &project,
        &template,
        &project_slug,
        &template_slug,
        &key,
        &fingerprint,
        &letter.payload,
        &accepted,
        &epoch,
        &bigint(letter.sequence),
        &request,
    ];
    connection.execute(statement, &params).await
}
