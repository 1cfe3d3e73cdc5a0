//! Keeps the snapshot in step with the database.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{AsyncMessage, Client, NoTls, Notification};
use uuid::Uuid;

use super::Catalog;
use super::read::{Extent, read};

/// A quiet connection is asked this often whether it is still one.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// No answer within this means that the connection is dead.
const ANSWER: Duration = Duration::from_secs(2);
/// Reading a large catalog may take longer than an answer.
const READ: Duration = Duration::from_secs(30);
/// Between attempts to connect.
const RETRY: Duration = Duration::from_millis(250);

/// Follows the database for ever. Ends only by being dropped.
///
/// The session LISTENs, so the database URL must reach Postgres itself, or a pooler in session mode.
pub async fn follow(catalog: &Catalog, database: &tokio_postgres::Config) {
    let mut reported = false;
    loop {
        let connected = Instant::now();
        let Err(error) = session(catalog, database, &mut reported).await;
        // Once per outage, not once per attempt.
        if !std::mem::replace(&mut reported, true) {
            tracing::warn!(
                error = format!("{error:#}"),
                "catalog: no database; going on with the last snapshot, if any"
            );
        }
        // At once after a session that worked, so that a fail-over costs little; paced after one that did not.
        if connected.elapsed() < RETRY {
            sleep(RETRY).await;
        }
    }
}

async fn session(
    catalog: &Catalog,
    database: &tokio_postgres::Config,
    reported: &mut bool,
) -> anyhow::Result<std::convert::Infallible> {
    let (mut client, mut changes) = listen(database).await?;
    // What was compiled is not compiled again.
    let before = catalog.snapshot.load_full().unwrap_or_default();
    let snapshot = timeout(READ, read(&mut client, Extent::All, before)).await.context("reading the catalog")??;
    tracing::info!(organizations = snapshot.organizations.len(), "catalog: read all, following changes");
    catalog.replace(snapshot);
    *reported = false;
    loop {
        match timeout(HEARTBEAT, changes.recv()).await {
            Ok(Some(first)) => {
                let extent = extent(first, &mut changes);
                let before = catalog.snapshot.load_full().unwrap_or_default();
                catalog.replace(timeout(READ, read(&mut client, extent, before)).await.context("reading a change")??);
            }
            Ok(None) => anyhow::bail!("the connection was closed"),
            Err(_quiet) => {
                timeout(ANSWER, client.batch_execute("")).await.context("no answer to a heartbeat")??;
                // The answer came after every notification sent before it. Only if none came is the snapshot current.
                if changes.is_empty() {
                    catalog.confirm();
                }
            }
        }
    }
}

/// Long enough to try every host in vain but the last.
fn patience(database: &tokio_postgres::Config) -> Duration {
    let hosts = u32::try_from(database.get_hosts().len()).unwrap_or(1);
    ANSWER + database.get_connect_timeout().copied().unwrap_or(ANSWER) * hosts
}

/// Connects and LISTENs; notifications arrive on the channel, which closes with the connection.
async fn listen(database: &tokio_postgres::Config) -> anyhow::Result<(Client, mpsc::UnboundedReceiver<Notification>)> {
    let (client, mut connection) = timeout(patience(database), database.connect(NoTls))
        .await
        .context("connecting to Postgres took too long")??;
    let (sender, receiver) = mpsc::unbounded_channel();
    // Ends by itself when the client is dropped.
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(notification) = message
                && sender.send(notification).is_err()
            {
                break;
            }
        }
    });
    timeout(ANSWER, client.batch_execute("LISTEN runlatch_catalog")).await.context("LISTEN took too long")??;
    Ok((client, receiver))
}

/// What the first notification and all that wait behind it ask to read: one read serves them all.
fn extent(first: Notification, changes: &mut mpsc::UnboundedReceiver<Notification>) -> Extent {
    let mut ids = HashSet::new();
    let mut next = Some(first);
    while let Some(notification) = next {
        match notification.payload().parse::<Uuid>() {
            Ok(id) => _ = ids.insert(id),
            // '*', or a word of a later release: nothing less than all is safe.
            Err(_) => {
                while changes.try_recv().is_ok() {}
                return Extent::All;
            }
        }
        next = changes.try_recv().ok();
    }
    Extent::Organizations(ids.into_iter().collect())
}
