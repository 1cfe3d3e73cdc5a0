//! What it all runs on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
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
            ("disk", file_system(self.stack.directory(), &read("/proc/self/mounts"))),
            ("nats", String::from_utf8_lossy(&nats.stdout).trim().to_owned()),
        ]))
    }
}

/// Of what this folder is on, from proc_pid_mounts(5): what keeps files in memory makes fsync cost nothing.
fn file_system(folder: &Path, mounts: &str) -> String {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?)).filter(|(place, _)| folder.starts_with(place))
    });
    mounts.max_by_key(|(place, _)| place.len()).map(|(_, kind)| kind.to_owned()).unwrap_or_default()
}

/// The value in the line `name: value`.
pub(super) fn find(text: &str, name: &str) -> String {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn a_folder_is_on_the_mount_that_is_nearest_to_it() {
        let mounts = "/dev/sda1 / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/sdb /var/lib xfs rw 0 0\n";
        let found = |folder: &str| super::file_system(Path::new(folder), mounts);
        assert_eq!(
            [found("/tmp/x"), found("/var/lib/y"), found("/var/libx"), found("/home")],
            ["tmpfs", "xfs", "ext4", "ext4"]
        );
    }
}
