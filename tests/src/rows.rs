//! What is in Postgres.

use std::time::SystemTime;

use proto::Timestamp;
use uuid::Uuid;

use crate::World;
use crate::world::eventually;

/// A row of `runs`, as far as the tests look at it.
#[derive(Debug, Clone)]
pub struct Run {
    /// Primary key.
    pub id: Uuid,
    /// The caller's key.
    pub key: String,
    /// The payload's text.
    pub payload: String,
    /// As the answers have it.
    pub accepted_at: String,
    /// Slug of the target project.
    pub project: String,
    /// Slug of the target template.
    pub template: String,
}

impl World {
    /// All rows, ordered by key.
    pub async fn runs(&self) -> Vec<Run> {
        let rows = self
            .database
            .query(
                "SELECT runs.id, idempotency_key, payload::text, accepted_at, projects.slug::text, templates.slug::text
                 FROM runs JOIN projects ON projects.id = project_id JOIN templates ON templates.id = template_id
                 ORDER BY idempotency_key, runs.id",
                &[],
            )
            .await
            .expect("rows");
        let run = |row: &tokio_postgres::Row| {
            let accepted: SystemTime = row.get(3);
            let millis = accepted.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis();
            Run {
                id: row.get(0),
                key: row.get(1),
                payload: row.get(2),
                accepted_at: Timestamp::from_millis(millis.try_into().expect("fits")).expect("fits").to_string(),
                project: row.get(4),
                template: row.get(5),
            }
        };
        rows.iter().map(run).collect()
    }

    /// How many rows a table has.
    pub async fn count(&self, table: &str) -> i64 {
        self.database.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.expect("a count").get(0)
    }

    /// Waits until every message has left the queue, so that what is in Postgres is all that ever comes of it.
    pub async fn settled(&self) {
        let client = async_nats::connect(self.stack.nats_url()).await.expect("connects");
        let jetstream = async_nats::jetstream::new(client);
        eventually("the queue is empty", async || {
            let stream = jetstream.get_stream(proto::queue::STREAM).await.ok()?;
            (stream.cached_info().state.messages == 0).then_some(())
        })
        .await;
    }

    /// The one row there is, once the queue is empty.
    pub async fn only_run(&self) -> Run {
        self.settled().await;
        let runs = self.runs().await;
        assert_eq!(runs.len(), 1, "{runs:#?}");
        runs.into_iter().next().expect("just counted")
    }
}
