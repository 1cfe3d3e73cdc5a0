//! What Postgres holds in the end.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::Result;
use proto::Timestamp;
use tokio_postgres::Client;
use uuid::Uuid;

/// A row of `runs`.
#[derive(Clone, Debug)]
pub struct Row {
    /// `id`.
    pub id: Uuid,
    /// `organization_id`.
    pub organization: Uuid,
    /// `playbook_id`.
    pub playbook: Uuid,
    /// `project_id`.
    pub project: Uuid,
    /// `template_id`.
    pub template: Uuid,
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
    /// `playbook_id`.
    pub playbook: Option<Uuid>,
    /// `project_slug`; none where none was named.
    pub project: Option<String>,
    /// `template_slug`; none where none was named.
    pub template: Option<String>,
    /// `idempotency_key`.
    pub key: Option<String>,
    /// `payload`.
    pub payload: Vec<u8>,
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
            organization: row.get(1),
            playbook: row.get(2),
            project: row.get(3),
            template: row.get(4),
            key: row.get(5),
            fingerprint: row.get(6),
            payload: row.get(7),
            accepted_at: text(row.get(8)),
        });
        let letters = snapshot
            .query(
                "SELECT reason, run_id, playbook_id, project_slug, template_slug, idempotency_key, payload
                 FROM dead_letters",
                &[],
            )
            .await?;
        let letters = letters.iter().map(|row| Letter {
            reason: row.get(0),
            run: row.get(1),
            playbook: row.get(2),
            project: row.get(3),
            template: row.get(4),
            key: row.get(5),
            payload: row.get(6),
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

fn text(moment: SystemTime) -> String {
    let millis = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    let moment = u64::try_from(millis).ok().and_then(|millis| Timestamp::from_millis(millis).ok());
    moment.map(|moment| moment.to_string()).unwrap_or_default()
}
