//! The stack that is measured, the servers beside it, and what is done to them between measurements.

mod fleet;
mod machine;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use local::{Extra, Role, Stack, State};
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};

use crate::accounts::Process;
use crate::load::Secrets;
use crate::peers::Restate;
use crate::serve::{self, Server};

/// A playbook for each of so many. All names are as long as those of `fill/playbooks.rs`, so that requests to both are.
const CATALOG: &str = "
[organizations.bench-000]
[organizations.bench-000.projects.main]
[organizations.bench-000.templates.plain]
";
const PLAYBOOKS: usize = 10;

/// What PostgreSQL is told, for everybody who uses it: sizes for a machine of some memory, checkpoints further apart than the
/// measurements are long. Durability is as it comes: `fsync`, `synchronous_commit` and `full_page_writes` on.
const POSTGRES: [(&str, &str); 5] = [
    ("shared_buffers", "2GB"),
    ("max_wal_size", "16GB"),
    ("checkpoint_timeout", "30min"),
    ("min_wal_size", "4GB"),
    ("max_connections", "200"),
];
/// Longest wait for anything that is not measured.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// A mark is written after its delivery was answered.
const MARKS: Duration = Duration::from_millis(500);

pub(crate) struct Stage {
    pub(crate) stack: Stack,
    /// As superuser, who may ask for a checkpoint.
    pub(crate) database: Client,
    pub(crate) redis: redis::aio::MultiplexedConnection,
    pub(crate) floor: Server,
    pub(crate) insert: Server,
    /// Somebody else's product that takes the same load, while it does.
    pub(crate) peer: Option<Restate>,
    pub(crate) secrets: Secrets,
}

impl Stage {
    /// Starts it all, a gateway and a worker at first.
    pub(crate) async fn set(gateway: Extra, worker: Extra, pool: usize) -> Result<Self> {
        let builder = POSTGRES.iter().fold(Stack::builder(), |builder, (name, value)| builder.postgres(*name, *value));
        let stack = builder.gateway(gateway).worker(worker).start().await?;
        let database = connect(&stack).await?;
        // Millions of keys are not emptied within the library's half second.
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let redis = redis::Client::open(stack.redis_url())?;
        let redis = redis.get_multiplexed_async_connection_with_config(&config).await?;
        let names: Vec<_> = (0..PLAYBOOKS).map(|index| format!("playbook-{index:03}")).collect();
        let tables = names.iter().map(|name| {
            format!("[organizations.bench-000.playbooks.{name}]\nproject = \"main\"\ntemplate = \"plain\"\n")
        });
        stack.catalog(&format!("{CATALOG}{}", tables.collect::<String>())).await?;
        let mut secrets = Vec::new();
        for name in &names {
            let secret = stack.secret(&format!("bench-000/{name}")).await?;
            secrets.push((format!("/api/webhooks/orgs/bench-000/playbooks/{name}"), secret));
        }
        database.batch_execute(serve::TABLE).await?;
        database.batch_execute("CREATE TABLE copied (LIKE runs INCLUDING ALL)").await?;
        let url = stack.database_url(Role::Superuser);
        let floor = Server::start(serve::Kind::Floor, &url, pool)?;
        let insert = Server::start(serve::Kind::Insert, &url, pool)?;
        // The last secret is in force on the gateways within a second.
        sleep(Duration::from_secs(2)).await;
        Ok(Self { stack, database, redis, floor, insert, peer: None, secrets: Arc::new(secrets) })
    }

    /// Another connection to the database, as superuser.
    pub(crate) async fn connect(&self) -> Result<Client> {
        connect(&self.stack).await
    }

    /// All that may use the cores.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let own = [("client", std::process::id()), ("floor", self.floor.pid()), ("insert", self.insert.pid())];
        let own = own.map(|(name, pid)| Process { name: name.to_owned(), pid, tree: false });
        let stack = self.stack.processes().into_iter().filter(|process| process.state == State::Running);
        let stack = stack.filter_map(|process| {
            let name = process.name.split('-').next().unwrap_or_default().to_owned();
            Some(Process { tree: name == "postgres", name, pid: process.pid? })
        });
        let peer = self.peer.iter().flat_map(Restate::processes);
        own.into_iter().chain(stack).chain(peer).collect()
    }

    /// Empties what grows. The queue is to be empty.
    pub(crate) async fn clear(&mut self) -> Result<()> {
        self.truncate().await?;
        // What earlier measurements left to be written is not to be written during the next one.
        self.database.batch_execute("CHECKPOINT").await?;
        let _: () = redis::cmd("FLUSHALL").query_async(&mut self.redis).await?;
        Ok(())
    }

    /// Empties the tables, and leaves written pages as they are: right after a checkpoint the first change of each is written to
    /// the log as a whole page.
    pub(crate) async fn truncate(&self) -> Result<()> {
        Ok(self.database.batch_execute("TRUNCATE runs, copied, webhook_runs, settled_sequences").await?)
    }

    /// Deliveries that have become runs since the last [`Stage::clear`], from the workers' own record.
    pub(crate) async fn created(&self) -> Result<u64> {
        created(&self.database).await
    }

    /// Waits until so many deliveries have become runs.
    pub(crate) async fn settled(&self, expected: u64) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let created = self.created().await?;
            if created >= expected {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{created} runs of {expected} within {PATIENCE:?}");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The same, and until Redis knows that they have been published.
    pub(crate) async fn marked(&self, expected: u64) -> Result<()> {
        self.settled(expected).await?;
        sleep(MARKS).await;
        Ok(())
    }

    /// Bytes that Redis uses.
    pub(crate) async fn redis_bytes(&mut self) -> Result<u64> {
        let info: String = redis::cmd("INFO").arg("memory").query_async(&mut self.redis).await?;
        Ok(machine::find(&info, "used_memory").parse()?)
    }
}

pub(crate) async fn created(database: &Client) -> Result<u64> {
    let row = database.query_one("SELECT coalesce(sum(created), 0)::bigint FROM settled_sequences", &[]).await?;
    Ok(u64::try_from(row.get::<_, i64>(0))?)
}

async fn connect(stack: &Stack) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(&stack.database_url(Role::Superuser), NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
