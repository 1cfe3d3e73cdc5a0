//! Ends the sessions of workers that fell silent in the midst of a `COPY`.
//!
//! One that is frozen or cut off within a transaction is ended by Postgres itself, which waits for its next command for ten
//! seconds (`commit.rs`). But Postgres waits for the data of a `COPY` without end: neither that time-out nor the statement's
//! is looked at meanwhile (`ProcessClientReadInterrupt` in its `postgres.c`). So a worker does it, its own sessions of before
//! an outage included. What was not committed comes again.

use crate::{database::Database, trouble::Trouble};

/// Only a `COPY` reads from its client while it is active. A session of the same login may always be ended.
const END: &str = "
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND application_name = 'runlatch-worker'
      AND state = 'active' AND wait_event = 'ClientRead' AND query_start < now() - interval '10 seconds'";

pub(crate) async fn end_stalled(database: &Database) -> Result<(), Trouble> {
    let connection = database.connection().await?;
    let statement = connection.prepare_cached(END).await?;
    let ended: i64 = connection.query_one(&statement, &[]).await?.try_get(0)?;
    if ended > 0 {
        tracing::warn!(ended, "ended sessions of workers that were silent in the midst of a COPY");
    }
    connection.keep();
    Ok(())
}
