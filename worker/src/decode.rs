//! From messages to deliveries.

use proto::envelope::{self, DecodeError, Delivery};

use crate::{message::Message, outcome::Outcome, pull::Batch, suspect::Cleared};

/// A delivery, and which message of the batch it came in.
pub(crate) struct Item<'a> {
    pub(crate) message: usize,
    pub(crate) delivery: Delivery<'a>,
}

/// A message that is settled, or put back, as a whole.
pub(crate) struct Whole {
    pub(crate) message: usize,
    pub(crate) outcome: Outcome,
}

/// A batch that has been read. Only [`decode`] makes one.
pub(crate) struct Decoded<'a> {
    batch: &'a Batch,
    items: Vec<Item<'a>>,
    wholes: Vec<Whole>,
}

impl<'a> Decoded<'a> {
    pub(crate) fn batch(&self) -> &'a Batch {
        self.batch
    }

    /// By run id, and for one run id in the order in which they came: every lane inserts in this order, or two of them
    /// would wait for each other.
    pub(crate) fn items(&self) -> &[Item<'a>] {
        &self.items
    }

    pub(crate) fn wholes(&self) -> &[Whole] {
        &self.wholes
    }
}

/// Reads what may be read. A message is read whole or not at all: one delivery in it that is not what it should be means
/// that the message was altered on its way, and then none of its neighbours can be trusted.
pub(crate) fn decode<'a>(cleared: Cleared<'a>) -> Decoded<'a> {
    let batch = cleared.batch();
    let (mut items, mut wholes) = (Vec::new(), Vec::new());
    for (message, content) in batch.messages().iter().map(Message::payload).enumerate() {
        let outcome = match cleared.verdict() {
            Some(verdict) => verdict.clone(),
            None => match envelope::decode(content) {
                Ok(deliveries) => {
                    items.extend(deliveries.into_iter().map(|delivery| Item { message, delivery }));
                    continue;
                }
                Err(DecodeError::Malformed(place)) => Outcome::Malformed(place),
                Err(DecodeError::UnsupportedVersion(version)) => Outcome::TooNew(version),
            },
        };
        wholes.push(Whole { message, outcome });
    }
    // By copies of the ids: a delivery is large, and moved once so.
    items.sort_by_cached_key(|item| item.delivery.run_id);
    Decoded { batch, items, wholes }
}
