//! How many gateways and workers there are.

use std::net::SocketAddr;

use anyhow::Result;
use local::{Extra, Process, State};

use super::Stage;

impl Stage {
    /// Where the gateways listen that run.
    pub(crate) fn gateways(&self) -> Vec<SocketAddr> {
        let ports = self.all("gateway").into_iter().filter(|process| process.state == State::Running);
        ports.filter_map(|process| Some(SocketAddr::from(([127, 0, 0, 1], process.port?)))).collect()
    }

    /// Makes it so many gateways and as many workers.
    pub(crate) async fn scale(&self, count: usize) -> Result<()> {
        for _ in self.all("gateway").len()..count {
            self.stack.add_gateway(&Extra::new()).await?;
        }
        for _ in self.all("worker").len()..count {
            self.stack.add_worker(&Extra::new()).await?;
        }
        self.only("worker", count).await?;
        self.only("gateway", count).await
    }

    /// Stops every worker, so that deliveries wait.
    pub(crate) async fn stop_workers(&self) -> Result<()> {
        self.only("worker", 0).await
    }

    /// Starts the one that is there where nothing else is asked for.
    pub(crate) async fn start_worker(&self) -> Result<()> {
        self.only("worker", 1).await
    }

    /// Lets the first so many run and no others.
    async fn only(&self, kind: &str, count: usize) -> Result<()> {
        for (index, process) in self.all(kind).into_iter().enumerate() {
            match (index < count, process.state == State::Running) {
                (true, false) => self.stack.start(&process.name).await?,
                (false, true) => _ = self.stack.stop(&process.name).await?,
                _ => {}
            }
        }
        Ok(())
    }

    fn all(&self, kind: &str) -> Vec<Process> {
        self.stack.processes().into_iter().filter(|process| process.name.starts_with(kind)).collect()
    }
}
