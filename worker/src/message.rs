//! A message in hand, and all that can be said to the broker about it.

use std::{fmt, time::Duration};

use async_nats::jetstream::{self, AckKind};
use proto::{StreamEpoch, queue};

use crate::commit::Committed;

/// A pulled message. It has no way to be acked without the proof that its outcomes are committed.
pub(crate) struct Message {
    inner: jetstream::Message,
    /// Its number in the stream, from 1.
    pub(crate) sequence: u64,
    /// How often the broker has given it to a worker, this time included.
    pub(crate) delivered: i64,
    /// Which incarnation of the stream it is of, by the name of its consumer.
    pub(crate) epoch: StreamEpoch,
}

/// A broker that cannot be told something forgets, and gives the message to a worker again. That is safe, so no
/// caller has anything to do about a lost word.
fn unheard(error: impl fmt::Display) {
    tracing::debug!(%error, "the broker could not be told");
}

impl Message {
    /// `None` where the message did not come from a consumer of ours.
    pub(crate) fn new(message: async_nats::Message, context: &jetstream::Context) -> Option<Self> {
        let inner = jetstream::Message { message, context: context.clone() };
        let info = inner.info().ok()?;
        let (sequence, delivered) = (info.stream_sequence, info.delivered);
        let epoch = queue::epoch_of_consumer(info.consumer)?;
        Some(Self { inner, sequence, delivered, epoch })
    }

    /// What was published.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.inner.payload
    }

    /// How many deliveries its publisher says it carries; `None` where nothing is said. What cannot be read says none.
    pub(crate) fn announced(&self) -> Option<u32> {
        let header = self.inner.headers.as_ref()?.get(queue::COUNT_HEADER)?;
        Some(header.as_str().parse().unwrap_or(0))
    }

    /// Settles it for good. If the word is lost the message comes again, and every delivery in it is a duplicate then.
    pub(crate) async fn ack(&self, _committed: &Committed<'_>) {
        self.say(AckKind::Ack).await;
    }

    /// Gives it to another worker, or to this one again, after `delay`.
    pub(crate) async fn put_back(&self, delay: Duration) {
        self.say(AckKind::Nak(Some(delay))).await;
    }

    /// Starts its ack wait anew.
    pub(crate) async fn in_progress(&self) {
        self.say(AckKind::Progress).await;
    }

    async fn say(&self, kind: AckKind) {
        self.inner.ack_with(kind).await.unwrap_or_else(unheard);
    }
}
