//! Makes a stream known in Postgres before anything of it is settled there.
//!
//! The audit knows of a stream that is gone only what was recorded of it. One that took messages while no worker could
//! settle any, and was lost so, would leave no trace, and its loss would never be reported.

use std::sync::Arc;

use proto::StreamEpoch;
use tokio::time::sleep;

use ops::postgres::Trouble;

use crate::{backoff::Backoff, database::Database, suspect::bigint};

/// A row that settles nothing; it is merged with others as any row is. One for each worker that attaches, because the
/// worker's role cannot see whether there is one.
const KNOW: &str = "
    INSERT INTO settled_sequences (stream_epoch, sequences, created, duplicates, dead_letters, announced, buried)
    VALUES ($1, '{}', 0, 0, 0, 0, 0)";

/// Goes on in the background until Postgres can be told: nothing that is pulled waits for it.
pub(crate) fn make_known(epoch: StreamEpoch, database: &Arc<Database>) {
    let database = Arc::clone(database);
    tokio::spawn(async move {
        let mut backoff = Backoff::default();
        while let Err(trouble) = database.once(insert(&database, epoch)).await {
            tracing::debug!(%trouble, %epoch, "the stream is not known to the audit yet");
            sleep(backoff.next()).await;
        }
    });
}

async fn insert(database: &Database, epoch: StreamEpoch) -> Result<(), Trouble> {
    let connection = database.connection().await?;
    connection.execute(KNOW, &[&bigint(epoch.0)]).await?;
    connection.keep();
    Ok(())
}
