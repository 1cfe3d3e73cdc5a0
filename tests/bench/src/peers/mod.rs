//! What others have built for the same purpose, installed by their own package manager.

mod restate;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

pub(crate) use self::restate::Restate;
use crate::book::Book;
use crate::load::Requests;
use crate::measure::{Load, measure};
use crate::sections::side_by_side::{BODY, CONNECTIONS};
use crate::stage::Stage;

/// One round, of those measurements whose names have `only` in them. The peer is started for it and is gone afterwards: it
/// begins without a backlog, and what it does by itself disturbs no other measurement.
pub(crate) async fn round(stage: &Stage, book: &mut Book, restate: &Path, closed: Duration, only: &str) -> Result<()> {
    let names = CONNECTIONS.map(|connections| (connections, format!("restate.closed.{connections}")));
    let wanted: Vec<_> = names.into_iter().filter(|(_, name)| name.contains(only)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let restate = Arc::new(Restate::start(restate).await?);
    let mut requests = Requests::to_restate(restate::PATH, 0, BODY)?;
    for (connections, name) in wanted {
        let load = Load::closed(vec![restate.address], connections, closed).beside(&restate);
        book.note(&name, measure(stage, &load, &mut requests)?);
        restate.settled(requests.next()).await?;
    }
    Ok(())
}
