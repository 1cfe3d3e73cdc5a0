//! A connection in use.

use deadpool_postgres::Object;

/// A pooled connection that goes back to the pool only where its user says so. Dropped on an error, or in the midst
/// of a transaction, it is closed: the next user must not find itself within somebody else's transaction.
#[derive(Debug)]
pub struct Connection(Option<Object>);

impl From<Object> for Connection {
    fn from(object: Object) -> Self {
        Self(Some(object))
    }
}

impl Connection {
    /// Gives it back to the pool.
    pub fn keep(mut self) {
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
