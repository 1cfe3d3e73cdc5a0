//! `runlatch dead-letters discard`: the one thing that deletes, and what it deletes is the payload. The trigger
//! closing_is_final erases it.

use tokio_postgres::Client;
use uuid::Uuid;

use super::report::{CameTo, Ending, Report};
use crate::Error;

/// In one statement, so that of two hands at once one finds it done. The old row is what the statement began with.
const DISCARD: &str = "
    WITH old AS (SELECT id, status, octet_length(payload) AS bytes, closed_by FROM dead_letters WHERE id = $1 FOR UPDATE),
         done AS (UPDATE dead_letters AS d SET status = 'discarded' FROM old
                  WHERE d.id = old.id AND old.status = 'open' AND NOT $2 RETURNING d.id)
    SELECT status, bytes, closed_by FROM old";

pub(super) async fn discard(client: &Client, ids: &[Uuid], dry_run: bool, mut report: Report) -> Result<(), Error> {
    for id in ids {
        report.tell(*id, one(client, *id, dry_run).await)?;
    }
    report.end()
}

async fn one(client: &Client, id: Uuid, dry_run: bool) -> Result<CameTo, Error> {
    let row = client.query_opt(DISCARD, &[&id, &dry_run]).await?;
    let row = row.ok_or_else(|| Error::Failed(format!("there is no dead letter with the id {id}")))?;
    let (status, bytes, closed_by): (&str, i32, Option<&str>) = (row.get(0), row.get(1), row.get(2));
    let (ending, detail) = match status {
        "open" => (Ending::Discarded, format!("its payload of {bytes} bytes")),
        "discarded" => (Ending::DiscardedBefore, format!("by {}", closed_by.unwrap_or("nobody"))),
        _ => (Ending::Unchanged, "it was replayed, and is a run now".to_owned()),
    };
    Ok((ending, detail, Vec::new()))
}
