//! What the worker says of itself to its operators.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{database::Database, queue::Queue};

/// The parts that decide whether the worker is ready.
pub(crate) struct Health {
    pub(crate) queue: Arc<Queue>,
    pub(crate) database: Arc<Database>,
    pub(crate) stop: CancellationToken,
}

impl ops::listener::Health for Health {
    fn missing(&self) -> Vec<String> {
        let stopping = self.stop.is_cancelled().then(|| "stopping".to_owned());
        let nats = self.queue.trouble().map(|trouble| format!("nats: {trouble}"));
        let postgres = self.database.trouble().map(|trouble| format!("postgres: {trouble}"));
        [stopping, nats, postgres].into_iter().flatten().collect()
    }
}
