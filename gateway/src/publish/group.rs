//! Decides what goes out together.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use proto::envelope::MAX_DELIVERIES;
use proto::{Claim, RunId};
use tokio::sync::mpsc;

use super::{Grouping, Item, message};
use crate::metrics::Metrics;
use crate::queue::Queue;

/// Runs until no sender is left and every message has met its fate.
pub(super) async fn run(
    queue: Queue,
    mut items: mpsc::UnboundedReceiver<Item>,
    marks: mpsc::Sender<Vec<(RunId, Claim)>>,
    grouping: Grouping,
    metrics: Arc<Metrics>,
) {
    let mut waiting = VecDeque::new();
    let mut unacknowledged = FuturesUnordered::new();
    let mut open = true;
    while open || !waiting.is_empty() || !unacknowledged.is_empty() {
        // What is in the channel now belongs to the next message.
        while let Ok(item) = items.try_recv() {
            waiting.push_back(item);
        }
        if !waiting.is_empty() && unacknowledged.len() < grouping.messages {
            let group = take(&mut waiting, grouping.bytes);
            metrics.message_deliveries.observe(group.len() as f64);
            unacknowledged.push(message::publish(queue.clone(), group, marks.clone()));
        }
        tokio::select! {
            biased;
            Some(()) = unacknowledged.next() => {}
            item = items.recv(), if open && unacknowledged.len() < grouping.messages => match item {
                Some(item) => waiting.push_back(item),
                None => open = false,
            },
            else => {}
        }
    }
}

/// The next group, in order of arrival, bounded by count and by bytes; at least one.
fn take(waiting: &mut VecDeque<Item>, bytes: usize) -> Vec<Item> {
    let mut total = 0;
    let count = waiting
        .iter()
        .take(MAX_DELIVERIES)
        .take_while(|item| {
            total += item.encoded.cost();
            total <= bytes
        })
        .count();
    waiting.drain(..count.max(1).min(waiting.len())).collect()
}
