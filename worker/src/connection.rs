//! A connection in use.

use std::time::Duration;

use deadpool_postgres::Object;
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

/// A pooled connection that goes back to the pool only where its user says so. Dropped on an error, or in the midst
/// of a transaction, it is closed: the next user must not find itself within somebody else's transaction.
pub(crate) struct Connection(Option<Object>);

impl From<Object> for Connection {
    fn from(object: Object) -> Self {
        Self(Some(object))
    }
}

impl Connection {
    pub(crate) fn keep(mut self) {
        self.0.take();
    }
}

impl std::ops::Deref for Connection {
    type Target = Object;

    fn deref(&self) -> &Object {
        self.0.as_ref().expect("only `keep` takes it, and that consumes self")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}
