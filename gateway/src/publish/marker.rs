//! Marks claims as published, off the callers' time.

use std::sync::Arc;
use std::time::Duration;

use proto::{Claim, RunId};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::claims::Claims;
use crate::metrics::Metrics;

/// Messages whose marks may wait for Redis. Beyond that marks are dropped, which a retry makes good.
pub(super) const BACKLOG: usize = 256;
/// How long a mark may wait for others. Each trip wakes Redis up, which costs more than a mark, and nobody waits for one: a
/// retry that is faster is helped.
const LINGER: Duration = Duration::from_millis(2);
/// Most marks in one round trip.
const AT_ONCE: usize = 1024;

/// Where marks are left for the marker.
#[derive(Clone)]
pub(super) struct Marks {
    pub(super) sender: mpsc::Sender<Vec<(RunId, Claim)>>,
    pub(super) metrics: Arc<Metrics>,
}

impl Marks {
    /// Never waits. A full backlog loses marks, never deliveries: an unmarked retry is helped instead of replayed.
    pub(super) fn leave(&self, published: Vec<(RunId, Claim)>) {
        let count = published.len() as u64;
        // Of deliveries whose check was deferred there is nothing to mark.
        if count == 0 {
            return;
        }
        if self.sender.try_send(published).is_err() {
            self.metrics.redis.marks_lost.inc_by(count);
        }
    }
}

/// Runs until no sender is left and the last mark is written.
pub(super) async fn run(
    claims: Arc<Claims>,
    mut published: mpsc::Receiver<Vec<(RunId, Claim)>>,
    metrics: Arc<Metrics>,
) {
    while let Some(mut marks) = published.recv().await {
        sleep(LINGER).await;
        while marks.len() < AT_ONCE
            && let Ok(more) = published.try_recv()
        {
            marks.extend(more);
        }
        ops::kill_point!(Marking);
        if !claims.mark(&marks).await {
            metrics.redis.marks_lost.inc_by(marks.len() as u64);
        }
    }
}
