//! Keeps the record of settled sequences short: a batch adds a row, this merges them.
//!
//! Off the path of the batches, and a function of the database's own: the worker's role may merge rows and cannot
//! delete one, so that no worker, whatever it is made to do, can take back what was settled.

use std::time::Duration;

use tokio::time::sleep;

use ops::postgres::Trouble;

use crate::database::Database;

/// Rows that one transaction merges at most, which bounds its time to some tens of milliseconds.
const MOST: i32 = 5_000;

const COMPACT: &str = "SELECT compact_settled_sequences($1)";

/// Merges what has gathered, again and again. Never ends.
pub(crate) async fn keep_compact(database: &Database, every: Duration) {
    loop {
        // Spread out: of workers that were started together one finds the work and the others find none.
        sleep(every.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
        database.usable().await;
        loop {
            match database.once(compact(database)).await {
                // There may be as many again.
                Ok(merged) if merged >= MOST / 2 => {}
                Ok(_) => break,
                // It costs space, and nothing is waiting for it.
                Err(trouble) => {
                    tracing::warn!(%trouble, "settled sequences are not compacted");
                    break;
                }
            }
        }
    }
}

/// How many rows fewer there are.
async fn compact(database: &Database) -> Result<i32, Trouble> {
    let connection = database.connection().await?;
    let statement = connection.prepare_cached(COMPACT).await?;
    let merged = connection.query_one(&statement, &[&MOST]).await?.try_get(0)?;
    connection.keep();
    Ok(merged)
}
