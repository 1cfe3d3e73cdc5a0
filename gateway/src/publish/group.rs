//! Decides what goes out together.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use proto::envelope::MAX_DELIVERIES;
use tokio::sync::mpsc;

use super::coming::{Coming, Hold};
use super::marker::Marks;
use super::{Grouping, Item, message};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::refusal::Refusal;

/// Runs until no sender is left and every message has met its fate.
pub(super) async fn run(
    queue: Queue,
    mut items: mpsc::UnboundedReceiver<Item>,
    coming: Arc<Coming>,
    marks: Marks,
    grouping: Grouping,
    metrics: Arc<Metrics>,
) {
    let mut waiting = VecDeque::new();
    let mut unacknowledged = FuturesUnordered::new();
    let mut hold: Option<Hold> = None;
    let mut open = true;
    while open || !waiting.is_empty() || !unacknowledged.is_empty() {
        // What is in the channel now belongs to the next message.
        while let Ok(item) = items.try_recv() {
            waiting.push_back(item.come());
        }
        // Not sent at all: by now its caller should rather ask again than wait as long for the acknowledgement too.
        let late = waiting.iter().take_while(|item: &&Item| item.since.elapsed() > grouping.patience).count();
        for item in waiting.drain(..late) {
            item.meets(Err(Refusal::Unavailable("nats: no turn to publish in time")));
        }
        // Whose turn it is waits for those on the way.
        let turn = !waiting.is_empty() && unacknowledged.len() < grouping.messages;
        hold = turn.then(|| hold.unwrap_or_else(|| coming.hold()));
        let held = hold.filter(|hold| waiting.len() < MAX_DELIVERIES && hold.is_on(&coming));
        while held.is_none() && !waiting.is_empty() && unacknowledged.len() < grouping.messages {
            hold = None;
            let count = next(waiting.iter().map(|item: &Item| item.encoded.cost()), grouping.bytes);
            let group: Vec<_> = waiting.drain(..count).collect();
            metrics.message_deliveries.observe(group.len() as f64);
            unacknowledged.push(message::publish(queue.clone(), group, marks.clone()));
        }
        tokio::select! {
            biased;
            Some(()) = unacknowledged.next() => {}
            item = items.recv(), if open && unacknowledged.len() < grouping.messages => match item {
                Some(item) => waiting.push_back(item.come()),
                None => open = false,
            },
            Some(()) = over(held, &coming) => {}
            else => {}
        }
    }
}

/// Returns when what is held may go; none where nothing is held.
async fn over(held: Option<Hold>, coming: &Coming) -> Option<()> {
    held?.over(coming).await;
    Some(())
}

/// How many of those that wait, with these costs, go out together: at least one, in order of arrival, bounded by count
/// and by bytes.
fn next(costs: impl Iterator<Item = usize>, bytes: usize) -> usize {
    let mut total = 0;
    let fit = costs.take(MAX_DELIVERIES).take_while(|cost| {
        total += cost;
        total <= bytes
    });
    fit.count().max(1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn groups() {
        let next = |costs: &[usize]| super::next(costs.iter().copied(), 1000);
        assert_eq!(next(&[1]), 1);
        assert_eq!(next(&[500, 500, 1]), 2);
        assert_eq!(next(&[500, 501]), 1);
        // Larger than a group may be: alone, and not with the small one before it.
        assert_eq!(next(&[5000, 1]), 1);
        assert_eq!(next(&[1, 5000]), 1);
        assert_eq!(next(&[1; 300]), 256);
    }
}
