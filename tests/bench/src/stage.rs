//! The stack that is measured, the servers beside it, and what is done to them between measurements.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use local::{Extra, Role, Stack};
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};

use crate::accounts::Process;
use crate::load::Secrets;
use crate::serve::{self, Server};

/// A playbook for each of so many; the first is the one that is delivered to where nothing else is said.
const CATALOG: &str = "
[organizations.bench]
[organizations.bench.projects.main]
[organizations.bench.templates.plain]
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
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) struct Stage {
    pub(crate) stack: Stack,
    /// As superuser, who may ask for a checkpoint.
    pub(crate) database: Client,
    pub(crate) redis: redis::aio::MultiplexedConnection,
    pub(crate) floor: Server,
    pub(crate) insert: Server,
    pub(crate) secrets: Secrets,
}

impl Stage {
    pub(crate) async fn set(threads: Option<usize>, pool: usize, extra: (Extra, Extra)) -> Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        let builder = POSTGRES.iter().fold(Stack::builder(), |builder, (name, value)| builder.postgres(*name, *value));
        let stack = builder.gateway(extra.0).worker(extra.1).start().await?;
        let (database, connection) = tokio_postgres::connect(&stack.database_url(Role::Superuser), NoTls).await?;
        tokio::spawn(connection);
        let redis = redis::Client::open(stack.redis_url())?.get_multiplexed_async_connection().await?;
        let names: Vec<_> = (0..PLAYBOOKS).map(|index| format!("playbook-{index}")).collect();
        let tables = names
            .iter()
            .map(|name| format!("[organizations.bench.playbooks.{name}]\nproject = \"main\"\ntemplate = \"plain\"\n"));
        stack.catalog(&format!("{CATALOG}{}", tables.collect::<String>())).await?;
        let mut secrets = Vec::new();
        for name in &names {
            let secret = stack.secret(&format!("bench/{name}")).await?;
            secrets.push((format!("/api/webhooks/orgs/bench/playbooks/{name}"), secret));
        }
        database.batch_execute(serve::TABLE).await?;
        database.batch_execute("CREATE TABLE copied (LIKE runs INCLUDING ALL)").await?;
        let url = stack.database_url(Role::Superuser);
        let threads = threads.unwrap_or(cores);
        let floor = Server::start(serve::Kind::Floor, threads, &url, pool)?;
        let insert = Server::start(serve::Kind::Insert, threads, &url, pool)?;
        // The last secret is in force on the gateways within a second.
        sleep(Duration::from_secs(2)).await;
        Ok(Self { stack, database, redis, floor, insert, secrets: Arc::new(secrets) })
    }

    /// Where the gateways listen.
    pub(crate) fn gateways(&self) -> Vec<SocketAddr> {
        let addresses = self.stack.urls();
        addresses.iter().filter_map(|url| url.strip_prefix("http://")?.parse().ok()).collect()
    }

    /// All that may use the cores.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let own = [("client", std::process::id()), ("floor", self.floor.pid()), ("insert", self.insert.pid())];
        let own = own.map(|(name, pid)| Process { name: name.to_owned(), pid, tree: false });
        let stack = self.stack.processes().into_iter().filter_map(|process| {
            let name = process.name.split('-').next().unwrap_or_default().to_owned();
            Some(Process { tree: name == "postgres", name, pid: process.pid? })
        });
        own.into_iter().chain(stack).collect()
    }

    /// The names of all workers, or gateways.
    pub(crate) fn names(&self, kind: &str) -> Vec<String> {
        let names = self.stack.processes().into_iter().map(|process| process.name);
        names.filter(|name| name.starts_with(kind)).collect()
    }

    pub(crate) async fn stop_workers(&self) -> Result<()> {
        for name in self.names("worker") {
            self.stack.stop(&name).await?;
        }
        Ok(())
    }

    pub(crate) async fn start_workers(&self) -> Result<()> {
        for name in self.names("worker") {
            self.stack.start(&name).await?;
        }
        Ok(())
    }

    /// Empties what grows. The queue is to be empty.
    pub(crate) async fn clear(&mut self) -> Result<()> {
        self.database.batch_execute("TRUNCATE runs, copied, webhook_runs, settled_sequences").await?;
        // What earlier measurements left to be written is not to be written during the next one.
        self.database.batch_execute("CHECKPOINT").await?;
        let _: () = redis::cmd("FLUSHALL").query_async(&mut self.redis).await?;
        Ok(())
    }

    /// Deliveries that have become runs since the last [`Stage::clear`], from the workers' own record.
    pub(crate) async fn created(&self) -> Result<u64> {
        let row =
            self.database.query_one("SELECT coalesce(sum(created), 0)::bigint FROM settled_sequences", &[]).await?;
        Ok(u64::try_from(row.get::<_, i64>(0))?)
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

    /// What runs where.
    pub(crate) async fn machine(&self) -> Result<BTreeMap<&'static str, String>> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let find = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let info: String = redis::cmd("INFO").arg("server").query_async(&mut self.redis.clone()).await?;
        let postgres: String = self.database.query_one("SHOW server_version", &[]).await?.get(0);
        let nats = local::Server::Nats.find().map_err(|absent| anyhow::anyhow!("{absent}"))?;
        let nats = std::process::Command::new(nats.path).arg("--version").output().context("nats-server --version")?;
        Ok(BTreeMap::from([
            ("cpu", find(&read("/proc/cpuinfo"), "model name")),
            ("cores", std::thread::available_parallelism()?.to_string()),
            ("memory", find(&read("/proc/meminfo"), "MemTotal")),
            ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
            ("postgres", postgres),
            ("redis", find(&info, "redis_version")),
            ("nats", String::from_utf8_lossy(&nats.stdout).trim().to_owned()),
        ]))
    }
}
