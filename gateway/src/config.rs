//! The gateway's settings: each a flag and an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::ServerAddr;
use clap::Parser;
use proto::secret::Pepper;

use crate::claims::OnRedisOutage;
use crate::cors::{InvalidOrigin, Origin};
use crate::publish::Grouping;
use crate::request::body;
use crate::run::LAST_MARKS;
use crate::server;

/// Accepts webhook deliveries, claims their keys in Redis and queues them in NATS JetStream.
#[derive(Parser)]
#[command(name = "runlatch-gateway", version)]
pub struct Config {
    /// Address for callers.
    #[arg(long, env = "RUNLATCH_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Address for operators: /healthz, /readyz, /metrics. Not for callers.
    #[arg(long, env = "RUNLATCH_OPS_LISTEN", default_value = "127.0.0.1:8081")]
    pub ops_listen: SocketAddr,
    /// Postgres, as a user with the role runlatch_gateway.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The same Postgres, for LISTEN, where DATABASE_URL leads through a pooler that does not keep a session. Unset:
    /// DATABASE_URL.
    #[arg(long, env = "LISTEN_DATABASE_URL", hide_env_values = true)]
    listen_database_url: Option<String>,
    /// Redis 7 or newer, or Valkey.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: String,
    /// NATS with JetStream, 2.9 or newer; several servers separated by commas.
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    pub nats_url: String,
    /// Key of the secrets' digests, at least 32 bytes.
    #[arg(long, env = "RUNLATCH_PEPPER", hide_env_values = true)]
    pepper: Option<String>,
    /// File with the pepper; one newline at its end is not part of it.
    #[arg(long, env = "RUNLATCH_PEPPER_FILE")]
    pepper_file: Option<PathBuf>,

    /// Longest body, in bytes.
    #[arg(long, env = "RUNLATCH_MAX_BODY_BYTES", default_value_t = 512 * 1024,
          value_parser = clap::value_parser!(u32).range(2..=64 << 20))]
    pub max_body_bytes: u32,
    /// Longest time to read a body.
    #[arg(long, env = "RUNLATCH_BODY_TIMEOUT", default_value = "10s", value_parser = some_time)]
    pub body_timeout: Duration,
    /// Longest request head, in bytes.
    #[arg(long, env = "RUNLATCH_MAX_HEADER_BYTES", default_value_t = 32 * 1024,
          value_parser = clap::value_parser!(u32).range(8192..=1024 * 1024))]
    pub max_header_bytes: u32,
    /// Most header lines of a request.
    #[arg(long, env = "RUNLATCH_MAX_HEADERS", default_value_t = 64, value_parser = clap::value_parser!(u16).range(8..=1024))]
    pub max_headers: u16,
    /// Longest time to read a request's head, idle time on a kept connection included.
    #[arg(long, env = "RUNLATCH_HEADER_TIMEOUT", default_value = "30s", value_parser = some_time)]
    pub header_timeout: Duration,
    /// Most connections.
    #[arg(long, env = "RUNLATCH_MAX_CONNECTIONS", default_value_t = 8192,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,
    /// Most deliveries in flight; further ones are answered 503 at once. Bounds memory, together with the body limit. As many
    /// lines of batches may be in flight besides, which wait for their turn; and as many refused bodies are drained at a time, and requests of strangers open over HTTP/2.
    #[arg(long, env = "RUNLATCH_MAX_IN_FLIGHT", default_value_t = 2048,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_in_flight: u32,

    /// Whether /api/openapi.json tells the contract, to anybody.
    #[arg(long, env = "RUNLATCH_OPENAPI", default_value = "true", value_parser = on)]
    pub openapi: bool,
    /// Origins whose pages a browser may let send here and read the answers, separated by commas. Unset: none (no CORS).
    #[arg(long, env = "RUNLATCH_CORS_ORIGINS", default_value = "", value_parser = origins)]
    pub cors_origins: Origins,
    /// Most batches at a time, each of up to 8 MiB; further ones are answered 503 at once.
    #[arg(long, env = "RUNLATCH_MAX_BATCHES", default_value_t = 16, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub max_batches: u32,
    /// Most deliveries whose callers wait for the commit (`Prefer: wait`); further ones are answered as if they did not ask.
    #[arg(long, env = "RUNLATCH_MAX_WAITING", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub max_waiting: u32,
    /// Connections to Postgres for run status. For each, 16 questions may be in flight; further ones are answered 503 at once.
    #[arg(long, env = "RUNLATCH_STATUS_CONNECTIONS", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub status_connections: u8,
    /// Longest time for Postgres to tell where a run has got, and for what is queued to be settled where Redis knows nothing; then the
    /// question is answered 503.
    #[arg(long, env = "RUNLATCH_STATUS_TIMEOUT", default_value = "2s", value_parser = some_time)]
    pub status_timeout: Duration,

    /// How long an idempotency key's payload is remembered. Redis' memory is sized by it; run ids do not depend on it.
    #[arg(long, env = "RUNLATCH_CLAIM_WINDOW", default_value = "24h", value_parser = claim_window)]
    pub claim_window: Duration,
    /// What becomes of a delivery whose key Redis cannot check: accepted, so that a conflicting reuse of its key ends as
    /// a dead letter instead of a 409; or rejected with 503.
    #[arg(long, env = "RUNLATCH_ON_REDIS_OUTAGE", value_enum, default_value_t = OnRedisOutage::Accept)]
    pub on_redis_outage: OnRedisOutage,
    /// Longest wait for one answer of Redis. Three that are later, each asked for after the one before was late,
    /// and no delivery waits until Redis is back.
    #[arg(long, env = "RUNLATCH_REDIS_TIMEOUT", default_value = "250ms", value_parser = some_time)]
    pub redis_timeout: Duration,
    /// Longest wait for the queue's acknowledgement; under load, as much again for a turn. No caller waits for more than
    /// twice this.
    #[arg(long, env = "RUNLATCH_PUBLISH_TIMEOUT", default_value = "5s", value_parser = some_time)]
    pub publish_timeout: Duration,
    /// Messages that may be unacknowledged at a time.
    #[arg(long, env = "RUNLATCH_PUBLISH_MESSAGES", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub publish_messages: u8,
    /// Bytes that the stream may hold; at 90 % of them intake stops.
    #[arg(long, env = "RUNLATCH_QUEUE_BYTES", default_value_t = 8 << 30)]
    pub queue_bytes: u64,
    /// Age at which the catalog must no longer be relied on, since the last proof that it is current. Unset: never,
    /// so that an outage of Postgres does not stop intake.
    #[arg(long, env = "RUNLATCH_MAX_CATALOG_AGE", value_parser = some_time)]
    pub max_catalog_age: Option<Duration>,
    /// Longest time from SIGTERM to the end.
    #[arg(long, env = "RUNLATCH_SHUTDOWN_DEADLINE", default_value = "25s", value_parser = some_time)]
    pub shutdown_deadline: Duration,

    /// How many threads work.
    #[command(flatten)]
    pub threads: ops::Threads,

    /// How to log.
    #[command(flatten)]
    pub log: ops::Log,
}

/// A time-out of nothing would refuse everything, and one beyond a day is a slip.
fn some_time(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_millis(1), Duration::from_secs(24 * 3600))
}

/// An empty variable is one that is not set.
fn on(text: &str) -> Result<bool, String> {
    if text.is_empty() { Ok(true) } else { text.parse().map_err(|_| "true or false".to_owned()) }
}

/// So that clap does not take a list for several flags.
pub type Origins = Vec<Origin>;

fn origins(text: &str) -> Result<Origins, InvalidOrigin> {
    text.split(',').filter(|origin| !origin.is_empty()).map(str::parse).collect()
}

/// Redis counts a key's life in whole seconds, and knows no life of zero.
fn claim_window(text: &str) -> Result<Duration, String> {
    between(text, Duration::from_secs(1), Duration::from_secs(366 * 24 * 3600))
}

fn between(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|_| "not a duration such as 250ms, 30s or 24h".to_owned())?;
    if (least..=most).contains(&time) {
        Ok(time)
    } else {
        Err(format!("not between {} and {}", humantime::format_duration(least), humantime::format_duration(most)))
    }
}

impl Config {
    /// Reads the pepper from wherever it is.
    pub fn pepper(&self) -> anyhow::Result<Pepper> {
        // An empty variable is one that is not set.
        let given = self.pepper.as_ref().filter(|pepper| !pepper.is_empty());
        let file = self.pepper_file.as_ref().filter(|file| !file.as_os_str().is_empty());
        let bytes = match (given, file) {
            (Some(pepper), None) => pepper.clone().into_bytes(),
            (None, Some(file)) => {
                let mut bytes = std::fs::read(file)
                    .map_err(|error| anyhow::anyhow!("--pepper-file {}: {error}", file.display()))?;
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                }
                bytes
            }
            (Some(_), Some(_)) => anyhow::bail!("--pepper-file and RUNLATCH_PEPPER: only one of them"),
            (None, None) => anyhow::bail!("--pepper-file or RUNLATCH_PEPPER is required"),
        };
        Pepper::new(&bytes).map_err(|error| anyhow::anyhow!("--pepper-file or RUNLATCH_PEPPER: {error}"))
    }

    /// How to reach Postgres.
    pub fn database(&self) -> anyhow::Result<tokio_postgres::Config> {
        postgres("--database-url or DATABASE_URL", &self.database_url)
    }

    /// How to reach it for as long as one likes.
    pub fn listen_database(&self) -> anyhow::Result<tokio_postgres::Config> {
        match self.listen_database_url.as_ref().filter(|url| !url.is_empty()) {
            Some(url) => postgres("--listen-database-url or LISTEN_DATABASE_URL", url),
            None => self.database(),
        }
    }

    /// How to reach NATS.
    pub(crate) fn nats(&self) -> anyhow::Result<Vec<ServerAddr>> {
        let servers: Result<_, _> = self.nats_url.split(',').map(|url| url.trim().parse()).collect();
        servers.map_err(|_| anyhow::anyhow!("--nats-url or NATS_URL: not one or more NATS URLs"))
    }

    pub(crate) fn body(&self) -> body::Limits {
        body::Limits { bytes: self.max_body_bytes as usize, time: self.body_timeout }
    }

    pub(crate) fn server(&self) -> server::Limits {
        server::Limits {
            connections: self.max_connections as usize,
            // What is no delivery shall not take more room than what is one.
            strangers_streams: self.max_in_flight as usize,
            header_bytes: self.max_header_bytes as usize,
            headers: usize::from(self.max_headers),
            header_time: self.header_timeout,
            // The rest is for the last marks.
            shutdown: self.shutdown_deadline.saturating_sub(LAST_MARKS),
        }
    }

    /// Half a message's room, so that a group of small deliveries never has to be taken apart.
    pub(crate) fn grouping(&self, max_payload: usize) -> Grouping {
        Grouping {
            messages: usize::from(self.publish_messages),
            bytes: max_payload / 2,
            patience: self.publish_timeout,
        }
    }
}

fn postgres(setting: &str, url: &str) -> anyhow::Result<tokio_postgres::Config> {
    // The parser's own words may quote the URL, which holds a password.
    let mut database: tokio_postgres::Config =
        url.parse().map_err(|_| anyhow::anyhow!("{setting}: not a Postgres URL or connection string"))?;
    anyhow::ensure!(
        !(database.get_hosts().is_empty() && database.get_hostaddrs().is_empty()),
        "{setting}: names no host"
    );
    database.application_name("runlatch-gateway").tcp_user_timeout(Duration::from_secs(5));
    // For each host: one that swallows packets must not use up the time of the next.
    if database.get_connect_timeout().is_none() {
        database.connect_timeout(Duration::from_secs(1));
    }
    Ok(database)
}
