//! The way into the database. Nothing of its URL but host and port is ever shown.

use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls, config::Host};

use crate::{Error, error::describe};

/// How long a server may take to answer the first connection, where the URL does not say it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What this program has locked workers may wait for, and after 30 s they stop pulling. So it keeps a lock no longer than
/// this while it does nothing (it may be frozen, or cut off), nor while it waits for a lock that another has.
const BOUNDS: &str = "SET idle_in_transaction_session_timeout = '10s'; SET lock_timeout = '10s'";

/// First half of Runlatch's advisory locks, so that they are nobody else's.
const LOCKS: i32 = proto::dead_letter::LOCK.0;

/// What two runs of this program must not do at once. Second half of the lock's number; 3 is taken by the migrations, and 4 by
/// [`proto::dead_letter::LOCK`].
#[derive(Clone, Copy)]
pub(crate) enum Lock {
    /// Changing the schema.
    Schema = 1,
    /// Changing the catalog.
    Catalog = 2,
}

impl Lock {
    /// Both halves, as parameters for Postgres' advisory lock functions.
    pub(crate) const fn numbers(self) -> (i32, i32) {
        (LOCKS, self as i32)
    }
}

/// Connects to the database that the operator named. What is locked there is locked for a bounded time.
pub(crate) async fn connect(url: Option<&str>) -> Result<Client, Error> {
    let client = connect_as_owner(url).await?;
    client.batch_execute(BOUNDS).await?;
    Ok(client)
}

/// Connects to change the schema, for which there is all the time it takes.
pub(crate) async fn connect_as_owner(url: Option<&str>) -> Result<Client, Error> {
    let mut config = parse(url)?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    config.application_name("runlatch");
    let (client, connection) = config.connect(NoTls).await.map_err(|error| match error.as_db_error() {
        Some(_) => Error::Unavailable(format!("{} does not let us in: {}", place(&config), describe(&error))),
        None => Error::Unavailable(format!("cannot reach {}: {}", place(&config), describe(&error))),
    })?;
    // Ends with the client. Its error is also that of the query it interrupts, which says it.
    tokio::spawn(connection);
    Ok(client)
}

/// Parse errors are not passed on: they quote the URL, and so perhaps the password.
fn parse(url: Option<&str>) -> Result<Config, Error> {
    let usage = |text: &str| Error::Usage(text.to_owned());
    let url = url.filter(|url| !url.is_empty()).ok_or_else(|| usage("DATABASE_URL is not set"))?;
    if url.contains("://") && url.matches('@').count() > 1 {
        // The parser would take the rest of such a password for the host, which is shown.
        return Err(usage("DATABASE_URL has more than one '@': write %40 for one in the password"));
    }
    let config: Config = url
        .parse()
        .map_err(|_| usage("DATABASE_URL is not of the form postgres://user:password@host:port/database"))?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(usage("DATABASE_URL names no host"));
    }
    Ok(config)
}

fn place(config: &Config) -> String {
    let names = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    });
    let names: Vec<String> = match config.get_hosts() {
        [] => config.get_hostaddrs().iter().map(ToString::to_string).collect(),
        _ => names.collect(),
    };
    // One port is for all hosts, none is the standard port.
    let port = |index| config.get_ports().get(index).or(config.get_ports().first()).copied().unwrap_or(5432);
    let places = names.iter().enumerate().map(|(index, name)| format!("{name}:{}", port(index)));
    format!("Postgres at {}", places.collect::<Vec<_>>().join(", "))
}
