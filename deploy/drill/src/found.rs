//! What Postgres holds in the end.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::Result;
use proto::Timestamp;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::catalog::Ids;

/// A row of `runs`.
#[derive(Clone, Debug)]
pub struct Row {
    /// `id`.
    pub id: Uuid,
    /// `organization_id` and so on.
    pub ids: Ids,
    /// `idempotency_key`.
    pub key: String,
    /// `fingerprint`.
    pub fingerprint: Vec<u8>,
    /// `payload`, its text.
    pub payload: String,
    /// `accepted_at`, as answers have it.
    pub accepted_at: String,
}

/// A row of `dead_letters`.
#[derive(Clone, Debug)]
pub struct Letter {
    /// `reason`.
    pub reason: String,
    /// `run_id`; like the following, none for a raw message.
    pub run: Option<Uuid>,
    /// `organization_id` and so on.
    pub ids: Option<Ids>,
    /// `project_slug`; none where none was named.
    pub project: Option<String>,
    /// `template_slug`; none where none was named.
    pub template: Option<String>,
    /// `idempotency_key`.
    pub key: Option<String>,
    /// `fingerprint`; empty for a raw message.
    pub fingerprint: Vec<u8>,
    /// `payload`.
    pub payload: Vec<u8>,
    /// `accepted_at`, as answers have it; empty for a raw message.
    pub accepted_at: String,
}

/// Sums over `settled_sequences`, in deliveries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Settled {
    /// Became runs.
    pub created: u64,
    /// Had become runs before.
    pub duplicates: u64,
    /// Became dead letters, or had done so before.
    pub dead_letters: u64,
}

/// All of it, as of one moment.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// `runs`.
    pub rows: Vec<Row>,
    /// `dead_letters`.
    pub letters: Vec<Letter>,
    /// `settled_sequences`.
    pub settled: Settled,
}

impl Found {
    /// Reads it all in one snapshot.
    pub async fn read(database: &mut Client) -> Result<Self> {
        let snapshot = database.build_transaction().read_only(true);
        let snapshot = snapshot.isolation_level(tokio_postgres::IsolationLevel::RepeatableRead).start().await?;
        let rows = snapshot
            .query(
                "SELECT id, organization_id, playbook_id, project_id, template_id, idempotency_key, fingerprint,
                        payload::text, accepted_at FROM runs",
                &[],
            )
            .await?;
        let rows = rows.iter().map(|row| Row {
            id: row.get(0),
            ids: Ids { organization: row.get(1), playbook: row.get(2), project: row.get(3), template: row.get(4) },
            key: row.get(5),
            fingerprint: row.get(6),
            payload: row.get(7),
            accepted_at: text(row.get(8)),
        });
        let letters = snapshot
            .query(
                "SELECT reason, run_id, organization_id, playbook_id, project_id, template_id, project_slug, template_slug,
                        idempotency_key, fingerprint, payload, accepted_at FROM dead_letters",
                &[],
            )
            .await?;
        let letters = letters.iter().map(|row| Letter {
            reason: row.get(0),
            run: row.get(1),
            ids: ids(row, 2),
            project: row.get(6),
            template: row.get(7),
            key: row.get(8),
            fingerprint: row.get::<_, Option<_>>(9).unwrap_or_default(),
            payload: row.get(10),
            accepted_at: row.get::<_, Option<_>>(11).map(text).unwrap_or_default(),
        });
        let sums = "SELECT coalesce(sum(created), 0)::int8, coalesce(sum(duplicates), 0)::int8,
                           coalesce(sum(dead_letters), 0)::int8 FROM settled_sequences";
        let sums = snapshot.query_one(sums, &[]).await?;
        let sum = |column| u64::try_from(sums.get::<_, i64>(column)).unwrap_or_default();
        let settled = Settled { created: sum(0), duplicates: sum(1), dead_letters: sum(2) };
        Ok(Self { rows: rows.collect(), letters: letters.collect(), settled })
    }

    /// Dead letters by reason.
    pub fn reasons(&self) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for letter in &self.letters {
            *reasons.entry(letter.reason.clone()).or_default() += 1;
        }
        reasons
    }
}

/// Four columns from this one on; none where one is null.
fn ids(row: &tokio_postgres::Row, first: usize) -> Option<Ids> {
    let [organization, playbook, project, template] = [0, 1, 2, 3].map(|nth| row.get::<_, Option<Uuid>>(first + nth));
    Some(Ids { organization: organization?, playbook: playbook?, project: project?, template: template? })
}

fn text(moment: SystemTime) -> String {
    let millis = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    let moment = u64::try_from(millis).ok().and_then(|millis| Timestamp::from_millis(millis).ok());
    moment.map(|moment| moment.to_string()).unwrap_or_default()
}
