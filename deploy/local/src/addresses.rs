//! Where everything in a stack is.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::sync::broadcast;

use crate::{Event, Process, Role, Stack};

impl Stack {
    /// All processes, in the order in which they were started.
    pub fn processes(&self) -> Vec<Process> {
        self.handles().iter().map(|handle| handle.process(&self.home)).collect()
    }

    /// What happens to the processes from here on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Where each gateway serves, `http://127.0.0.1:port`.
    pub fn urls(&self) -> Vec<String> {
        self.processes()
            .iter()
            .filter_map(|process| process.port.filter(|_| process.name.starts_with("gateway-")))
            .map(http)
            .collect()
    }

    /// Where the first gateway serves.
    ///
    /// # Panics
    /// Where the stack has no gateway.
    pub fn url(&self) -> String {
        self.urls().into_iter().next().expect("a stack with a gateway")
    }

    /// Where a gateway or worker has its `/healthz`, `/readyz` and `/metrics`.
    pub fn ops_url(&self, name: &str) -> Result<String> {
        let handle = self.handle(name)?;
        let port = handle.spec.ops_port.as_ref().with_context(|| format!("{name} has no operators' listener"))?;
        Ok(http(port.number()))
    }

    /// The database, as this role.
    pub fn database_url(&self, role: Role) -> String {
        self.roles.url(role, self.ports.postgres)
    }

    /// `redis://127.0.0.1:port`.
    pub fn redis_url(&self) -> String {
        redis_url(self.ports.redis)
    }

    /// `nats://127.0.0.1:port`.
    pub fn nats_url(&self) -> String {
        nats_url(self.ports.nats)
    }

    /// The pepper of the webhook secrets, drawn for this stack.
    pub fn pepper(&self) -> &str {
        &self.pepper
    }

    /// The stack's private directory: `logs/`, `postgres/data/`, `nats/`. Gone when the stack is.
    pub fn directory(&self) -> &Path {
        self.home.path()
    }

    /// The file of all that a process ever wrote, over all its starts.
    pub fn log_path(&self, name: &str) -> PathBuf {
        self.home.log(name)
    }
}

pub(crate) fn redis_url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

pub(crate) fn nats_url(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

fn http(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}
