//! A stack with a worker and no gateway, a catalog, and ways to publish and to look.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use local::{Builder, Extra, Role, Stack};
use proto::{
    Fingerprint, IdempotencyKey, OrganizationId, Payload, PlaybookId, ProjectId, RunId, Scope, Selector, TemplateId,
    Timestamp,
    envelope::{self, Delivery, Encoded},
    queue,
};
use tokio_postgres::{NoTls, types::ToSql};
use uuid::Uuid;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const WORKER: &str = "worker-1";

pub(crate) struct World {
    pub(crate) stack: Stack,
    pub(crate) database: tokio_postgres::Client,
    pub(crate) jetstream: async_nats::jetstream::Context,
    pub(crate) organization: OrganizationId,
    pub(crate) playbook: PlaybookId,
    pub(crate) project: ProjectId,
    pub(crate) template: TemplateId,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Stack::builder()).await
    }

    pub(crate) async fn with(builder: Builder) -> Self {
        let stack = builder.gateways(0).durable(false).start().await.expect("a stack");
        let database = connect(&stack).await;
        let nats = async_nats::connect(stack.nats_url()).await.expect("nats");
        let [organization, project, template, playbook] = std::array::from_fn(|_| Uuid::new_v4());
        for sql in [
            format!("INSERT INTO organizations (id, slug, name) VALUES ('{organization}', 'acme', 'Acme')"),
            format!(
                "INSERT INTO projects (id, organization_id, slug, name) VALUES ('{project}', '{organization}', 'p', 'P')"
            ),
            format!(
                "INSERT INTO templates (id, organization_id, slug, name) VALUES ('{template}', '{organization}', 't', 'T')"
            ),
            format!(
                "INSERT INTO playbooks (id, organization_id, slug, name, project_id, template_id)
                 VALUES ('{playbook}', '{organization}', 'b', 'B', '{project}', '{template}')"
            ),
        ] {
            database.batch_execute(&sql).await.expect("a catalog");
        }
        Self {
            stack,
            database,
            jetstream: async_nats::jetstream::new(nats),
            organization: OrganizationId(organization),
            playbook: PlaybookId(playbook),
            project: ProjectId(project),
            template: TemplateId(template),
        }
    }

    /// With a worker of one lane that is to be started by [`World::run`]: all that is waiting by then, and fits, is one batch.
    pub(crate) async fn stopped(builder: Builder) -> Self {
        let world = Self::with(builder.worker(Extra::new().env("RUNLATCH_LANES", "1"))).await;
        world.stack.stop(WORKER).await.expect("stopped");
        world
    }

    pub(crate) async fn run(&self) {
        self.stack.start(WORKER).await.expect("started");
        self.drained().await;
    }

    /// The only way from a key and a body to what the gateway would have queued.
    pub(crate) fn delivery<'a>(&self, key: &str, body: &'a str) -> Delivery<'a> {
        // Not `Payload::parse`: some tests need a payload that no gateway accepts.
        let payload = serde_json::from_str(body).expect("a JSON object");
        self.delivery_of(key, payload, self.project)
    }

    pub(crate) fn delivery_of<'a>(&self, key: &str, payload: Payload<'a>, project_id: ProjectId) -> Delivery<'a> {
        let key = IdempotencyKey::from_bytes(key.as_bytes()).expect("a key");
        Delivery {
            run_id: RunId::compute(Scope::Playbook(self.playbook), &key),
            organization_id: self.organization,
            playbook_id: self.playbook,
            project_id,
            template_id: self.template,
            target: Selector::default(),
            idempotency_key: key,
            fingerprint: Fingerprint::compute(self.playbook, &Selector::default(), &payload),
            accepted_at: Timestamp::now(),
            request_id: None,
            traceparent: None,
            reply_to: None,
            payload,
        }
    }

    pub(crate) fn encoded(&self, key: &str, body: &str) -> Encoded {
        self.delivery(key, body).encode()
    }

    /// One message with these deliveries; returns its sequence.
    pub(crate) async fn publish(&self, deliveries: &[Encoded]) -> u64 {
        self.publish_raw(&envelope::encode(deliveries.iter())).await
    }

    pub(crate) async fn publish_raw(&self, message: &[u8]) -> u64 {
        let ack = self.jetstream.publish(queue::subject(0), message.to_vec().into()).await.expect("published");
        ack.await.expect("acknowledged").sequence
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.count_with(sql, &[]).await
    }

    pub(crate) async fn count_with(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> i64 {
        self.database.query_one(sql, params).await.expect("a count").get(0)
    }

    /// created, duplicates, dead letters as recorded with the sequences.
    pub(crate) async fn settled(&self) -> (i64, i64, i64) {
        let sql = "SELECT coalesce(sum(created), 0), coalesce(sum(duplicates), 0), coalesce(sum(dead_letters), 0) FROM settled_sequences";
        let row = self.database.query_one(sql, &[]).await.expect("a row");
        (row.get(0), row.get(1), row.get(2))
    }

    /// Sequences settled, in Postgres' notation: `{[1,4)}` is 1 to 3.
    pub(crate) async fn sequences(&self) -> String {
        let sql = "SELECT coalesce(range_agg(sequences)::text, '{}') FROM settled_sequences";
        self.database.query_one(sql, &[]).await.expect("a row").get(0)
    }

    pub(crate) async fn reasons(&self) -> Vec<String> {
        let rows = self.database.query("SELECT reason FROM dead_letters ORDER BY reason", &[]).await.expect("rows");
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Until nothing is left to do: stream empty, which it is when all is acked.
    pub(crate) async fn drained(&self) {
        until("the stream is drained", || async {
            match self.jetstream.get_stream(queue::STREAM).await {
                Ok(stream) => stream.cached_info().state.messages == 0,
                Err(_) => false,
            }
        })
        .await;
    }

    pub(crate) async fn metric(&self, worker: &str, name: &str) -> f64 {
        let url = format!("{}/metrics", self.stack.ops_url(worker).expect("a worker"));
        let text = reqwest::get(url).await.expect("metrics").text().await.expect("text");
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.and_then(|line| line.split(' ').nth(1))
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    pub(crate) async fn readiness(&self) -> String {
        let url = format!("{}/readyz", self.stack.ops_url(WORKER).expect("a worker"));
        match reqwest::get(url).await {
            Ok(answer) => answer.text().await.expect("text"),
            Err(_) => "no answer".to_owned(),
        }
    }

    pub(crate) async fn create_project(&self, slug: &str) -> ProjectId {
        let id = Uuid::new_v4();
        let sql = "INSERT INTO projects (id, organization_id, slug, name) VALUES ($1, $2, $3::text, 'x')";
        self.database.execute(sql, &[&id, &self.organization.0, &slug]).await.expect("a project");
        ProjectId(id)
    }
}

/// Name of the consumer of this incarnation of the stream.
pub(crate) fn consumer(stream: &async_nats::jetstream::stream::Stream) -> String {
    let created = stream.cached_info().created.unix_timestamp_nanos();
    queue::consumer(proto::StreamEpoch::from_unix_nanos(created))
}

pub(crate) async fn connect(stack: &Stack) -> tokio_postgres::Client {
    connect_to(&stack.database_url(Role::Superuser)).await
}

pub(crate) async fn connect_to(url: &str) -> tokio_postgres::Client {
    let (database, connection) = tokio_postgres::connect(url, NoTls).await.expect("postgres");
    tokio::spawn(connection);
    database
}

/// Waits for a condition; panics when it has not come in time.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
