//! What a dead letter is, without what it carries: fit to be pasted into a ticket.

use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

/// As JSON, names and types are stable; members may be added.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub(super) id: Uuid,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) detail: String,
    /// `organization/playbook`; null for a raw message, and where it has gone.
    pub(super) playbook: Option<String>,
    /// What the caller named, before defaults.
    pub(super) project: Option<String>,
    pub(super) template: Option<String>,
    pub(super) idempotency_key: Option<String>,
    /// The run that its key names.
    pub(super) run_id: Option<Uuid>,
    /// True if that run is there with the same content, so that a replay has only to close it.
    pub(super) run_exists: bool,
    pub(super) payload_bytes: i32,
    pub(super) accepted_at: Option<String>,
    pub(super) buried_at: String,
    pub(super) age_seconds: i64,
    pub(super) stream_epoch: i64,
    pub(super) stream_sequence: i64,
    /// Dead letter of the message that this was read out of by a replay.
    pub(super) origin_id: Option<Uuid>,
    pub(super) closed_at: Option<String>,
    pub(super) closed_by: Option<String>,
    pub(super) replayed_run_id: Option<Uuid>,
    pub(super) replayed_key: Option<String>,
    /// The request that it came with.
    pub(super) request_id: Option<String>,
}

impl Summary {
    /// To be followed by conditions on `d`.
    pub(super) fn select() -> String {
        let time = |column: &str| format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')");
        format!(
            "SELECT d.id, d.status, d.reason, d.detail, o.slug || '/' || p.slug, d.project_slug, d.template_slug,
                    d.idempotency_key, d.run_id,
                    EXISTS (SELECT FROM runs WHERE runs.id = d.run_id AND runs.fingerprint = d.fingerprint),
                    octet_length(d.payload), {}, {}, extract(epoch FROM now() - d.created_at)::bigint,
                    d.stream_epoch, d.stream_sequence, d.origin_id, {}, d.closed_by, d.replayed_run_id, d.replayed_key,
                    d.request_id
             FROM dead_letters AS d
             LEFT JOIN playbooks AS p ON p.id = d.playbook_id LEFT JOIN organizations AS o ON o.id = p.organization_id",
            time("d.accepted_at"),
            time("d.created_at"),
            time("d.closed_at"),
        )
    }
}

impl From<&Row> for Summary {
    fn from(row: &Row) -> Self {
        Self {
            id: row.get(0),
            status: row.get(1),
            reason: row.get(2),
            detail: row.get(3),
            playbook: row.get(4),
            project: row.get(5),
            template: row.get(6),
            idempotency_key: row.get(7),
            run_id: row.get(8),
            run_exists: row.get(9),
            payload_bytes: row.get(10),
            accepted_at: row.get(11),
            buried_at: row.get(12),
            age_seconds: row.get(13),
            stream_epoch: row.get(14),
            stream_sequence: row.get(15),
            origin_id: row.get(16),
            closed_at: row.get(17),
            closed_by: row.get(18),
            replayed_run_id: row.get(19),
            replayed_key: row.get(20),
            request_id: row.get(21),
        }
    }
}
