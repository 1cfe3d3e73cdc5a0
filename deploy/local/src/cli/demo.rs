//! A catalog of one playbook, and three deliveries that show what Runlatch is for.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use local::{Role, Stack};
use tokio::time::{Instant, sleep};

/// Where the demo's deliveries go, and what lets them in.
pub(crate) struct Demo {
    pub(crate) path: &'static str,
    pub(crate) secret: String,
    client: reqwest::Client,
}

/// What a gateway answered.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: String,
}

/// A row of `runs`, as names and values.
pub(crate) type Row = Vec<(&'static str, String)>;

const CATALOG: &str = include_str!("demo.toml");
const COLUMNS: [&str; 5] = ["id", "idempotency_key", "payload", "accepted_at", "created_at"];
/// How long to wait for what takes much less than a second.
const PATIENCE: Duration = Duration::from_secs(10);

impl Demo {
    /// Returns once every gateway knows the demo's secret.
    pub(crate) async fn prepare(stack: &Stack) -> Result<Demo> {
        stack.catalog(CATALOG).await?;
        let secret = stack.secret("demo/hello").await?;
        // The environment may name a proxy, which cannot reach this machine's loopback.
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let demo = Demo { path: "/api/webhooks/orgs/demo/playbooks/hello", secret, client };
        let deadline = Instant::now() + PATIENCE;
        for url in stack.urls() {
            // Without a key it is refused after the secret has been checked, and leaves nothing behind.
            while let answer = demo.deliver(&url, None, "{}").await?
                && answer.code != 400
            {
                if Instant::now() > deadline {
                    bail!("the gateway at {url} does not know the new secret: {} {}", answer.code, answer.body);
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(demo)
    }

    /// Sends one delivery.
    pub(crate) async fn deliver(&self, url: &str, key: Option<&str>, payload: &str) -> Result<Answer> {
        let mut request = self.client.post(format!("{url}{}", self.path)).header("X-Webhook-Secret", &self.secret);
        if let Some(key) = key {
            request = request.header("X-Idempotency-Key", key);
        }
        let answer = request.body(payload.to_owned()).send().await.context("the gateway does not answer")?;
        Ok(Answer { code: answer.status().as_u16(), body: answer.text().await? })
    }

    /// The command that sends another delivery.
    pub(crate) fn curl(&self, url: &str) -> String {
        format!(
            "curl -i {url}{} \\\n    -H 'X-Webhook-Secret: {}' \\\n    -H 'X-Idempotency-Key: mine-1' \\\n    -d '{{\"greeting\": \"hello\"}}'",
            self.path, self.secret
        )
    }
}

/// All rows of this key, once there is one.
pub(crate) async fn rows(stack: &Stack, key: &str) -> Result<Vec<Row>> {
    let (client, connection) =
        tokio_postgres::connect(&stack.database_url(Role::Operator), tokio_postgres::NoTls).await?;
    // It ends with the client; what goes wrong with it, the query says.
    tokio::spawn(connection);
    let columns = COLUMNS.map(|column| format!("{column}::text")).join(", ");
    let query = format!("SELECT {columns} FROM runs WHERE idempotency_key = $1");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let rows = client.query(&query, &[&key]).await?;
        if !rows.is_empty() {
            let row =
                |row: &tokio_postgres::Row| COLUMNS.iter().enumerate().map(|(i, &name)| (name, row.get(i))).collect();
            return Ok(rows.iter().map(row).collect());
        }
        if Instant::now() > deadline {
            let why = stack.check("worker-1").await.err().map(|why| format!(": worker-1 is not ready: {why}"));
            bail!("the delivery was accepted, but no run has appeared{}", why.unwrap_or_default());
        }
        sleep(Duration::from_millis(20)).await;
    }
}
