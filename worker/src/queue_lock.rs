//! What one worker alone holds.

use std::time::Duration;

use ops::postgres::Connection;
use tokio::time::timeout;

const ANSWER: Duration = Duration::from_secs(5);

/// While it lives, no other worker makes the queue's stream.
pub(crate) struct QueueLock(pub(crate) Connection);

impl QueueLock {
    pub(crate) async fn release(self) {
        // In vain or not, the lock goes with the connection.
        if let Ok(Ok(())) = timeout(ANSWER, self.0.batch_execute("COMMIT")).await {
            self.0.keep();
        }
    }
}
