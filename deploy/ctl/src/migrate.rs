//! `runlatch migrate`: the schema, one file a step, each step in a transaction of its own.

use std::error::Error as _;

use refinery::error::Kind;
use tokio_postgres::Client;

use crate::{Error, database::Lock, output::say, remark};

mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// The oldest Postgres that will do, as a major version: the schema uses `UNIQUE NULLS NOT DISTINCT`.
pub const OLDEST_POSTGRES: i32 = 15;

/// True if a server with this `server_version_num` (150004 is 15.4) will do.
pub const fn supports(server_version_num: i32) -> bool {
    server_version_num / 10_000 >= OLDEST_POSTGRES
}

pub(crate) async fn run(client: &mut Client) -> Result<(), Error> {
    let row = client.query_one("SELECT current_setting('server_version_num')::int4", &[]).await?;
    let version: i32 = row.get(0);
    if !supports(version) {
        let found = version / 10_000;
        return Err(Error::Failed(format!("this is PostgreSQL {found}; at least {OLDEST_POSTGRES} is needed")));
    }
    lock(client).await?;
    let report = embedded::migrations::runner().run_async(client).await.map_err(explain)?;
    for step in report.applied_migrations() {
        say(&format!("applied V{} {}", step.version(), step.name()))?;
    }
    match report.applied_migrations().len() {
        0 => say("the schema is up to date"),
        count => say(&format!("{count} steps applied; the schema is up to date")),
    }
}

/// Two runs at once would both find the same steps missing. The lock is the session's: it ends with the connection,
/// however this process ends.
async fn lock(client: &Client) -> Result<(), Error> {
    let (class, number) = Lock::Schema.numbers();
    let row = client.query_one("SELECT pg_try_advisory_lock($1, $2)", &[&class, &number]).await?;
    if !row.get::<_, bool>(0) {
        remark("another migrate is at work; waiting for it");
        client.execute("SELECT pg_advisory_lock($1, $2)", &[&class, &number]).await?;
    }
    Ok(())
}

fn explain(error: refinery::Error) -> Error {
    match error.kind() {
        Kind::MissingVersion(step) => Error::Failed(format!(
            "the database has step V{} {}, which this runlatch does not have: use the newer runlatch",
            step.version(),
            step.name()
        )),
        Kind::DivergentVersion(step, _) => Error::Failed(format!(
            "step V{} {} is in the database with another content than this runlatch has",
            step.version(),
            step.name()
        )),
        Kind::Connection(step, _) => match error.source().and_then(|cause| cause.downcast_ref()) {
            Some(cause) => Error::Failed(format!("{step}: {}", crate::error::describe(cause))),
            None => Error::Failed(error.to_string()),
        },
        _ => Error::Failed(error.to_string()),
    }
}
