//! What it all runs on.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::Stage;

impl Stage {
    /// The machine, and the versions of the servers.
    pub(crate) async fn machine(&self) -> Result<BTreeMap<&'static str, String>> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let info: String = redis::cmd("INFO").arg("server").query_async(&mut self.redis.clone()).await?;
        let postgres: String = self.database.query_one("SHOW server_version", &[]).await?.get(0);
        let nats = local::Server::Nats.find().map_err(|absent| anyhow::anyhow!("{absent}"))?;
        let nats = Command::new(nats.path).arg("--version").output().context("nats-server --version")?;
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

/// The value in the line `name: value`.
pub(super) fn find(text: &str, name: &str) -> String {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}
