//! What keeps a replay and the workers from giving one delivery two ends.
//!
//! As workers do: who makes runs shares the lock, who may bury has it alone, so that nothing is buried here while a worker
//! makes a run of it, nor the other way round. While it is had alone all workers wait, so it is not unless it must be. Nor can
//! what a run is for go from the catalog while it is shared (migration V6).

use proto::dead_letter::LOCK;
use tokio_postgres::Transaction;

use crate::Error;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    Shared,
    Alone,
}

impl Lock {
    /// Until the end of the transaction. To be taken before its first row, so that nobody waits in a circle.
    pub(super) async fn take(self, transaction: &Transaction<'_>) -> Result<(), Error> {
        let function = match self {
            Self::Shared => "pg_advisory_xact_lock_shared",
            Self::Alone => "pg_advisory_xact_lock",
        };
        transaction.batch_execute(&format!("SELECT {function}({}, {})", LOCK.0, LOCK.1)).await?;
        Ok(())
    }
}
