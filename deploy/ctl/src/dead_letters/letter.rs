//! A dead letter in hand.

use std::time::{SystemTime, UNIX_EPOCH};

use proto::{
    Fingerprint, IdempotencyKey, OrganizationId, Payload, PlaybookId, ProjectId, RunId, Selector, Slug, TemplateId,
    Timestamp, envelope::Delivery,
};
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use crate::Error;

const READ: &str = "
    SELECT id, status, payload, stream_epoch, stream_sequence, replayed_run_id, replayed_key, run_id, organization_id,
           playbook_id, project_id, template_id, project_slug, template_slug, idempotency_key, fingerprint, accepted_at,
           request_id
    FROM dead_letters WHERE id = $1";

pub(super) struct Letter {
    pub(super) id: Uuid,
    pub(super) status: String,
    /// A delivery's body, or a raw message.
    pub(super) payload: Vec<u8>,
    /// Epoch and sequence.
    pub(super) message: (i64, i64),
    pub(super) replayed_run: Option<RunId>,
    pub(super) replayed_key: Option<String>,
    /// None where it is of a raw message.
    address: Option<Address>,
}

/// All of a delivery but its payload.
struct Address {
    run: RunId,
    organization: OrganizationId,
    playbook: PlaybookId,
    project: ProjectId,
    template: TemplateId,
    target: Selector,
    key: IdempotencyKey,
    fingerprint: Fingerprint,
    accepted_at: Timestamp,
    request_id: Option<String>,
}

impl Letter {
    /// Takes it, and keeps others from it until the transaction ends: of two operators the second finds what the first has
    /// made of it.
    pub(super) async fn lock(transaction: &Transaction<'_>, id: Uuid) -> Result<Self, Error> {
        Self::of(transaction, &format!("{READ} FOR UPDATE"), id).await
    }

    /// To look at.
    pub(super) async fn read(transaction: &Transaction<'_>, id: Uuid) -> Result<Self, Error> {
        Self::of(transaction, READ, id).await
    }

    async fn of(transaction: &Transaction<'_>, sql: &str, id: Uuid) -> Result<Self, Error> {
        let row = transaction.query_opt(sql, &[&id]).await?;
        let row = row.ok_or_else(|| Error::Failed(format!("there is no dead letter with the id {id}")))?;
        let address = match row.get::<_, Option<Uuid>>(7) {
            Some(run) => Some(Address::read(&row, RunId(run)).ok_or_else(|| odd(id))?),
            None => None,
        };
        Ok(Self {
            id,
            status: row.get(1),
            payload: row.get(2),
            message: (row.get(3), row.get(4)),
            replayed_run: row.get::<_, Option<Uuid>>(5).map(RunId),
            replayed_key: row.get(6),
            address,
        })
    }

    /// The delivery that it is of; none where it is of a raw message.
    pub(super) fn delivery(&self) -> Result<Option<Delivery<'_>>, Error> {
        let Some(address) = &self.address else { return Ok(None) };
        // Not `Payload::parse`: it may be here because it is what no gateway accepts.
        let payload: Payload<'_> = serde_json::from_slice(&self.payload).map_err(|_| odd(self.id))?;
        Ok(Some(Delivery {
            run_id: address.run,
            organization_id: address.organization,
            playbook_id: address.playbook,
            project_id: address.project,
            template_id: address.template,
            target: address.target.clone(),
            idempotency_key: address.key.clone(),
            fingerprint: address.fingerprint,
            accepted_at: address.accepted_at,
            request_id: address.request_id.as_deref().map(Into::into),
            traceparent: None,
            reply_to: None,
            payload,
        }))
    }
}

impl Address {
    /// None where a column holds what no worker writes.
    fn read(row: &Row, run: RunId) -> Option<Self> {
        let slug = |column| match row.get::<_, Option<String>>(column) {
            Some(text) => text.parse::<Slug>().ok().map(Some),
            None => Some(None),
        };
        let accepted: SystemTime = row.get::<_, Option<_>>(16)?;
        let accepted = u64::try_from(accepted.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?;
        Some(Self {
            run,
            organization: OrganizationId(row.get::<_, Option<_>>(8)?),
            playbook: PlaybookId(row.get::<_, Option<_>>(9)?),
            project: ProjectId(row.get::<_, Option<_>>(10)?),
            template: TemplateId(row.get::<_, Option<_>>(11)?),
            target: Selector { project: slug(12)?, template: slug(13)? },
            key: row.get::<_, Option<&str>>(14)?.parse().ok()?,
            fingerprint: Fingerprint(row.get::<_, Option<&[u8]>>(15)?.try_into().ok()?),
            accepted_at: Timestamp::from_millis(accepted).ok()?,
            request_id: row.get(17),
        })
    }
}

fn odd(id: Uuid) -> Error {
    Error::Failed(format!("dead letter {id} is not as a worker writes it; was it altered by hand?"))
}
