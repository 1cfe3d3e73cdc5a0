//! Ends the sessions of workers that fell silent in the midst of a `COPY`.
//!
//! One that is frozen or cut off within a transaction is ended by Postgres itself, which waits for its next command for ten
//! seconds (`commit.rs`). But Postgres waits for the data of a `COPY` without end: neither that time-out nor the statement's
//! is looked at meanwhile (`ProcessClientReadInterrupt` in its `postgres.c`). So a worker does it, its own sessions of before
//! an outage included. What was not committed comes again.
//!
//! Whoever is slow is not silent: only a `COPY` that was seen not to move for as long is ended, and only that one. A session
//! may always be ended by another of the same login, which all workers therefore share.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use ops::postgres::Trouble;

use crate::database::Database;

/// As long as Postgres waits for a command.
const SILENCE: Duration = Duration::from_secs(10);

/// Only a `COPY` reads from its client while it is active. How far it is can be seen since PostgreSQL 14.
const LOOK: &str = "
    SELECT pid, query_start, COALESCE(bytes_processed, 0)
    FROM pg_stat_activity LEFT JOIN pg_stat_progress_copy USING (pid)
    WHERE pg_stat_activity.datname = current_database() AND usename = current_user AND application_name = 'runlatch-worker'
      AND state = 'active' AND wait_event = 'ClientRead'";

/// Unless it has gone on to something else since the look.
const END: &str = "
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE pid = $1 AND query_start = $2 AND state = 'active' AND wait_event = 'ClientRead'";

/// A session's statement: process, and when it was begun.
type Copying = (i32, SystemTime);

/// How far each was when it was seen to move last, and when that was.
#[derive(Default)]
pub(crate) struct Stalled(HashMap<Copying, (i64, Instant)>);

impl Stalled {
    /// To be called again and again.
    pub(crate) async fn end(&mut self, database: &Database) -> Result<(), Trouble> {
        let connection = database.connection().await?;
        let look = connection.prepare_cached(LOOK).await?;
        let (now, mut seen) = (Instant::now(), HashMap::new());
        for row in connection.query(&look, &[]).await? {
            let (copying, bytes) = ((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?);
            let before = self.0.get(&copying).filter(|(before, _)| *before == bytes);
            seen.insert(copying, before.copied().unwrap_or((bytes, now)));
        }
        self.0 = seen;
        for ((pid, since), _) in self.0.iter().filter(|(_, (_, moved))| now - *moved >= SILENCE) {
            let end = connection.prepare_cached(END).await?;
            let ended: i64 = connection.query_one(&end, &[pid, since]).await?.try_get(0)?;
            if ended > 0 {
                tracing::warn!(pid, "ended the session of a worker that was silent in the midst of a COPY");
            }
        }
        connection.keep();
        Ok(())
    }
}
