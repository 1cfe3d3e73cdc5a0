//! What can be set, each by a flag or by a variable.

use std::{net::SocketAddr, time::Duration};

use clap::Parser;

/// The worker of Runlatch: turns queued deliveries into runs.
#[derive(Clone, Parser)]
#[command(name = "runlatch-worker", version)]
pub struct Config {
    /// Address of `/healthz`, `/readyz` and `/metrics`.
    #[arg(long, env = "RUNLATCH_OPS_LISTEN", default_value = "127.0.0.1:8082")]
    pub ops_listen: SocketAddr,

    /// PostgreSQL, as the worker's role: `postgres://user:password@host/database`.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,

    /// NATS, one or more servers of a cluster, comma-separated: `nats://user:password@host:4222`.
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    pub nats_url: String,

    /// Batches in hand at once; each takes one connection to PostgreSQL.
    #[arg(long, env = "RUNLATCH_LANES", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub lanes: u16,

    /// Most messages in a batch. A message carries up to 256 deliveries.
    #[arg(long, env = "RUNLATCH_BATCH_MESSAGES", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub batch_messages: u16,

    /// Most bytes in a batch; raised to what the broker allows for one message where that is more.
    #[arg(long, env = "RUNLATCH_BATCH_BYTES", default_value_t = 4 << 20, value_parser = clap::value_parser!(u32).range(1024..=256 << 20))]
    pub batch_bytes: u32,

    /// How long the broker waits for a sign of life about a message before it gives it to another worker.
    #[arg(long, env = "RUNLATCH_ACK_WAIT", default_value = "30s", value_parser = at_least_one_second)]
    pub ack_wait: Duration,

    /// Most messages that all workers together have in hand. At least their lanes times the messages in a batch, or lanes idle.
    #[arg(long, env = "RUNLATCH_MAX_ACK_PENDING", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_ack_pending: u32,

    /// How long a batch that cannot be committed is kept before it is put back for a worker that may have better luck.
    #[arg(long, env = "RUNLATCH_MAX_HOLD", default_value = "2m", value_parser = at_least_one_second)]
    pub max_hold: Duration,

    /// Replicas of the stream where this worker makes it: 3 in production.
    #[arg(long, env = "RUNLATCH_STREAM_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub stream_replicas: u8,

    /// Most messages that the stream holds where this worker makes it; a full stream refuses.
    #[arg(long, env = "RUNLATCH_STREAM_MAX_MESSAGES", default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub stream_max_messages: u32,

    /// How often the record of settled sequences is compacted; one worker at a time does it.
    #[arg(long, env = "RUNLATCH_COMPACT_INTERVAL", default_value = "1m", value_parser = at_least_one_second)]
    pub compact_interval: Duration,

    /// How long a stopping worker may take to finish what it has in hand.
    #[arg(long, env = "RUNLATCH_SHUTDOWN_DEADLINE", default_value = "25s", value_parser = at_least_one_second)]
    pub shutdown_deadline: Duration,

    /// How many threads work.
    #[command(flatten)]
    pub threads: ops::Threads,

    /// How to log.
    #[command(flatten)]
    pub log: ops::Log,
}

/// A setting that cannot be used. Names the setting and the reason, never the value: it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {reason}")]
pub struct Invalid {
    /// The flag.
    pub setting: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl Config {
    pub(crate) fn postgres(&self) -> Result<tokio_postgres::Config, Invalid> {
        let invalid = |reason: &str| Invalid { setting: "--database-url", reason: reason.to_owned() };
        let mut config: tokio_postgres::Config = self
            .database_url
            .parse()
            .map_err(|_| invalid("not a PostgreSQL URL (postgres://user:password@host/database)"))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(invalid("names no host"));
        }
        config.application_name("runlatch-worker");
        Ok(config)
    }

    pub(crate) fn nats(&self) -> Result<Vec<async_nats::ServerAddr>, Invalid> {
        let reason = "not one or more NATS URLs (nats://user:password@host:4222)";
        let servers: Result<Vec<_>, _> = self.nats_url.split(',').map(|url| url.trim().parse()).collect();
        servers.map_err(|_| Invalid { setting: "--nats-url", reason: reason.to_owned() })
    }
}

/// The broker counts these times in whole units and this worker in thirds; below a second neither makes sense.
fn at_least_one_second(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|_| "not a duration such as 30s or 2m".to_owned())?;
    if duration < Duration::from_secs(1) { Err("less than a second".to_owned()) } else { Ok(duration) }
}
