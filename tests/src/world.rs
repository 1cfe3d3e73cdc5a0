//! A stack with a catalog, and the guarantee that no secret was logged in it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use local::{Builder, Role, Stack};
use reqwest::Client;

use crate::delivery::Playbook;
use crate::{Answer, Delivery, leaks};

/// The catalog of every [`World`].
pub const CATALOG: &str = r#"
[organizations.acme]
[organizations.acme.projects.main]
[organizations.acme.projects.side]
[organizations.acme.templates.plain]
[organizations.acme.templates.fancy]
[organizations.acme.playbooks.deploy]
project = "main"
template = "plain"
[organizations.acme.playbooks.notify]
project = "main"
template = "plain"
[organizations.acme.playbooks.resting]
project = "main"
template = "plain"
enabled = false

[organizations.globex]
idempotency_scope = "organization"
[organizations.globex.projects.main]
[organizations.globex.templates.plain]
[organizations.globex.playbooks.one]
project = "main"
template = "plain"
[organizations.globex.playbooks.two]
project = "main"
template = "plain"
"#;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Real servers, a catalog, and a client.
pub struct World {
    /// The servers.
    pub stack: Stack,
    /// A client that keeps connections.
    pub http: Client,
    /// A login as operator.
    pub database: tokio_postgres::Client,
    secrets: Mutex<Vec<String>>,
    ended: bool,
}

impl World {
    /// One gateway and one worker.
    pub async fn start() -> Self {
        Self::with(|builder| builder).await
    }

    /// A stack to measure. Its gateways have patience with Redis, where nothing else was chosen: a machine that is busy
    /// with other tests is not Redis being away.
    pub async fn with(shape: impl FnOnce(Builder) -> Builder) -> Self {
        let builder = shape(Stack::builder().durable(false)).gateway_default("RUNLATCH_REDIS_TIMEOUT", "10s");
        let builder = builder.gateway_default("RUNLATCH_STATUS_TIMEOUT", "10s");
        let stack = builder.start().await.expect("the stack starts");
        stack.catalog(CATALOG).await.expect("the catalog is applied");
        let database = connect(&stack, Role::Operator).await;
        let http = Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client without TLS");
        Self { stack, http, database, secrets: Mutex::default(), ended: false }
    }

    /// Logs in to Postgres.
    pub async fn login(&self, role: Role) -> tokio_postgres::Client {
        connect(&self.stack, role).await
    }

    /// A playbook of [`CATALOG`], `organization/playbook`, with a secret of its own that every gateway knows.
    pub async fn playbook(&self, name: &str) -> Playbook {
        let secret = self.stack.secret(name).await.expect("a secret");
        let playbook = Playbook::new(name, &self.note(secret));
        for gateway in 0..self.stack.urls().len() {
            // 401, or 404 `not_found` where the playbook is disabled: not known there yet.
            eventually("the secret is in force", async || {
                let answer = self.send(playbook.probe().gateway(gateway)).await;
                (answer.status != 401 && !answer.text.contains("not_found")).then_some(())
            })
            .await;
        }
        playbook
    }

    /// Remembers a secret, so that the logs are searched for it at the end.
    pub fn note(&self, secret: String) -> String {
        self.secrets.lock().expect("not poisoned").push(secret.clone());
        secret
    }

    /// Sends a delivery and reads the whole answer.
    pub async fn send(&self, delivery: Delivery) -> Answer {
        self.try_send(delivery).await.expect("an answer")
    }

    /// As [`World::send`], where the connection may fail.
    pub async fn try_send(&self, delivery: Delivery) -> reqwest::Result<Answer> {
        self.try_send_by(&self.http, delivery).await
    }

    /// As [`World::try_send`], by another client.
    pub async fn try_send_by(&self, http: &Client, delivery: Delivery) -> reqwest::Result<Answer> {
        let method = delivery.method_name();
        Answer::read(&method, delivery.request(http, &self.stack.urls()).send().await?).await
    }

    /// Text of an operators' endpoint, and its status.
    pub async fn ops(&self, process: &str, path: &str) -> (u16, String) {
        let url = self.stack.ops_url(process).expect("an ops listener") + path;
        let response = self.http.get(url).send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("text"))
    }

    /// A metric's value, by its name with labels as it is written; none where it is not written yet.
    pub async fn metric(&self, process: &str, name: &str) -> Option<f64> {
        let (_, text) = self.ops(process, "/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(|value| value.parse().expect("a number"))
    }

    /// A metric's values, added up over its labels.
    pub async fn total(&self, process: &str, name: &str) -> f64 {
        let (_, text) = self.ops(process, "/metrics").await;
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name)).then(|| value.parse::<f64>().expect("a number"))
        });
        values.sum()
    }

    /// Stops everything, and fails if a secret, the pepper, a password or a payload was logged (I7).
    pub async fn end(mut self) {
        for process in self.stack.processes() {
            if process.name.starts_with("gateway-") || process.name.starts_with("worker-") {
                // One that the test itself has stopped is stopped already.
                _ = self.stack.stop(&process.name).await;
            }
        }
        let found = self.leaks();
        self.ended = true;
        assert!(found.is_empty(), "logged: {found:#?}");
    }

    /// Where a log holds what no log may hold.
    pub fn leaks(&self) -> Vec<String> {
        let mut forbidden = self.secrets.lock().expect("not poisoned").clone();
        forbidden.push(self.stack.pepper().to_owned());
        forbidden.push(leaks::CANARY.to_owned());
        for role in [Role::Superuser, Role::Owner, Role::Operator, Role::Gateway, Role::Worker] {
            forbidden.push(leaks::password(&self.stack.database_url(role)));
        }
        leaks::search(&self.stack, &forbidden)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        assert!(self.ended || std::thread::panicking(), "a test must close with World::end, which reads the logs");
    }
}

async fn connect(stack: &Stack, role: Role) -> tokio_postgres::Client {
    let url = stack.database_url(role);
    let (database, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("connects");
    tokio::spawn(connection);
    database
}

/// Polls until `condition` holds, and returns what it found; fails after half a minute.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
