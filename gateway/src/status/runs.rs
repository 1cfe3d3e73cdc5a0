//! What Postgres knows of a run. Reads have connections of their own, few of them, and a deadline: they can neither keep
//! deliveries waiting nor wait for them.

use std::time::Duration;

use deadpool_postgres::{Manager, Pool, Runtime};
use ops::postgres::{Connection, Trouble};
use proto::{IdempotencyKey, PlaybookId, RunId, Timestamp};
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Config, Row};

use super::{Stage, Status};
use crate::admission::{Admission, Place};
use crate::refusal::Refusal;

/// Reads that may be in flight for each connection. Each takes a fraction of a millisecond.
const READS: usize = 16;

/// The row, or else the last dead letter; of the delivery that holds the key, where one does.
const READ: &str = "
    SELECT NULL, r.idempotency_key, r.fingerprint, p.slug::text, t.slug::text,
           (extract(epoch FROM r.accepted_at) * 1000)::bigint, (extract(epoch FROM r.created_at) * 1000)::bigint
    FROM runs r LEFT JOIN projects p ON p.id = r.project_id LEFT JOIN templates t ON t.id = r.template_id
    WHERE r.id = $1 AND r.playbook_id = $2
    UNION ALL
    (SELECT d.reason, d.idempotency_key, d.fingerprint, coalesce(p.slug::text, d.project_slug),
            coalesce(t.slug::text, d.template_slug), (extract(epoch FROM d.accepted_at) * 1000)::bigint, NULL
     FROM dead_letters d LEFT JOIN projects p ON p.id = d.project_id LEFT JOIN templates t ON t.id = d.template_id
     WHERE d.run_id = $1 AND d.playbook_id = $2 AND ($3::bytea IS NULL OR substr(d.fingerprint, 1, length($3)) = $3) AND $4
     ORDER BY d.created_at DESC LIMIT 1)";

/// Whether a message waits for the operator that could not be read, and may hold any delivery.
const UNREAD: &str = "SELECT EXISTS (SELECT FROM dead_letters WHERE run_id IS NULL AND status = 'open')";

/// Which dead letters of a run are believed.
#[derive(Clone, Copy)]
pub(crate) enum Letters {
    None,
    Any,
    /// That of the delivery whose fingerprint begins so.
    Of([u8; 16]),
}

/// Reads runs.
pub(crate) struct Runs {
    pool: Pool,
    places: Admission,
    patience: Duration,
    trouble: ops::News,
}

impl Runs {
    /// Connects when it is first asked.
    pub(crate) fn new(database: Config, connections: usize, patience: Duration) -> Self {
        let manager = Manager::new(database, tokio_postgres::NoTls);
        // The deadline of a read bounds what these would.
        let pool = Pool::builder(manager).max_size(connections).runtime(Runtime::Tokio1).build();
        Self {
            pool: pool.expect("a pool without timeouts needs nothing"),
            places: Admission::new(connections * READS),
            patience,
            trouble: ops::News::default(),
        }
    }

    /// A place among the reads in flight.
    pub(crate) fn enter(&self) -> Result<Place, Refusal> {
        self.places.enter()
    }

    /// How long a question may take that has to wait.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// What there is of this run of that playbook.
    pub(crate) async fn read(
        &self,
        run: RunId,
        playbook: PlaybookId,
        letters: Letters,
    ) -> Result<Option<Status>, Refusal> {
        let fingerprint = if let Letters::Of(fingerprint) = letters { Some(fingerprint.to_vec()) } else { None };
        let believed = !matches!(letters, Letters::None);
        let question: [Parameter<'_>; 4] =
            [(&run.0, Type::UUID), (&playbook.0, Type::UUID), (&fingerprint, Type::BYTEA), (&believed, Type::BOOL)];
        let rows = self.ask(READ, &question).await?;
        rows.iter().min_by_key(|row| row.get::<_, Option<&str>>(0).is_some()).map(|row| status(run, row)).transpose()
    }

    /// Whether there may be more than can be told by a run's id.
    pub(crate) async fn has_unread(&self) -> Result<bool, Refusal> {
        Ok(self.ask(UNREAD, &[]).await?.first().is_none_or(|row| row.get(0)))
    }

    async fn ask(&self, sql: &str, question: &[Parameter<'_>]) -> Result<Vec<Row>, Refusal> {
        // Apart, or every delivery, which hardly ever asks, would carry the room for it.
        let rows = Box::pin(timeout(self.patience, self.rows(sql, question)));
        match rows.await.unwrap_or(Err(Trouble::Slow)) {
            Ok(rows) => {
                self.trouble.over();
                Ok(rows)
            }
            Err(trouble) => {
                if self.trouble.is_new(&trouble) {
                    tracing::warn!(%trouble, "postgres: runs cannot be read");
                }
                Err(Refusal::Unavailable("postgres: runs cannot be read"))
            }
        }
    }

    async fn rows(&self, sql: &str, question: &[Parameter<'_>]) -> Result<Vec<Row>, Trouble> {
        let connection = Connection::from(self.pool.get().await?);
        // One round trip for all three. Postgres gives up when we do, or those that wait for a lock would pile up there.
        let begin = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", self.patience.as_millis().max(1));
        // Without a prepared statement, so that a pooler may stand between.
        let (begun, rows, ended) = tokio::join!(
            connection.batch_execute(&begin),
            connection.query_typed(sql, question),
            connection.batch_execute("COMMIT"),
        );
        begun?;
        let rows = rows?;
        ended?;
        connection.keep();
        Ok(rows)
    }
}

/// A value, and its type there.
type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

fn status(run: RunId, row: &Row) -> Result<Status, Refusal> {
    let time = |column| {
        row.get::<_, Option<i64>>(column).and_then(|millis| Timestamp::from_millis(millis.try_into().ok()?).ok())
    };
    let stage = match (row.get::<_, Option<&str>>(0), time(6)) {
        (Some(reason), _) => Some(Stage::Rejected { reason: reason.to_owned() }),
        (None, created_at) => created_at.map(|created_at| Stage::Created { created_at }),
    };
    let key = row.get::<_, Option<&str>>(1).and_then(|key| key.parse::<IdempotencyKey>().ok());
    let fingerprint = row.get::<_, Option<&[u8]>>(2).and_then(|fingerprint| fingerprint.get(..16));
    let (Some(stage), Some(accepted_at), Some(fingerprint)) = (stage, time(5), fingerprint) else {
        return Err(Refusal::Internal("a run's row, or its dead letter's, is none that a worker would write"));
    };
    Ok(Status {
        run_id: run,
        stage,
        idempotency_key: key,
        fingerprint: hex::encode(fingerprint),
        project: row.get(3),
        template: row.get(4),
        accepted_at,
    })
}
