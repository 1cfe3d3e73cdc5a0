//! The stream and its consumer: what they must be, and how they are found or made.

use std::time::Duration;

use async_nats::{
    error::Error,
    jetstream::{
        Context, ErrorCode,
        consumer::{AckPolicy, pull},
        context::{ConsumerInfoErrorKind, GetStreamErrorKind},
        stream::{Config as StreamConfig, DiscardPolicy, Info, RetentionPolicy, StorageType},
    },
};
use proto::StreamEpoch;
use proto::queue::{STREAM, SUBJECTS, consumer};

use crate::config::Config;
use crate::forgotten::Cursor;

/// Why there is nothing to pull from.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The broker did not answer, or refused.
    #[error("{0}")]
    Broker(String),
    /// A stream of that name exists and may lose what it accepted.
    #[error("stream {STREAM} is not to be trusted: {0}")]
    Unfit(&'static str),
}

impl<K: Clone + std::fmt::Debug + std::fmt::Display + PartialEq> From<Error<K>> for Trouble {
    fn from(error: Error<K>) -> Self {
        Self::Broker(error.to_string())
    }
}

/// A stream and consumer that are there, and which of them had to be made.
pub(crate) struct Found {
    pub(crate) stream: Info,
    pub(crate) ack_wait: Duration,
    pub(crate) made_stream: bool,
    pub(crate) made_consumer: bool,
}

/// Looks for both. `None` where one is missing, or the consumer is not what the settings say and `strict` asks for that.
pub(crate) async fn find(context: &Context, config: &Config, strict: bool) -> Result<Option<Found>, Trouble> {
    let Some(stream) = look(context).await? else { return Ok(None) };
    if let Some(reason) = unfit(&stream.config) {
        return Err(Trouble::Unfit(reason));
    }
    let found = match context.get_stream_no_info(STREAM).await?.consumer_info(name(&stream)).await {
        Ok(info) => info.config,
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let wanted = wanted_consumer(config, &stream);
    // Whoever has changed these has changed what becomes of a message that is not acked.
    let safe = found.ack_policy == wanted.ack_policy && found.max_deliver < 1 && found.filter_subject.is_empty();
    let same = (found.ack_wait, found.max_ack_pending) == (wanted.ack_wait, wanted.max_ack_pending);
    if !safe {
        return Err(Trouble::Unfit("its consumer is not what workers make: delete it"));
    }
    let found = Found { stream, ack_wait: found.ack_wait, made_stream: false, made_consumer: false };
    Ok((same || !strict).then_some(found))
}

/// Makes what is missing, and the consumer what the settings say. One worker at a time: two that create the same stream
/// at once can leave nats-server (2.9.10) with one that takes no messages, or gives none out.
pub(crate) async fn make(context: &Context, config: &Config) -> Result<Found, Trouble> {
    let (stream, made_stream) = match look(context).await? {
        Some(stream) => (stream, false),
        None => (context.create_stream(wanted_stream(config)).await?.cached_info().clone(), true),
    };
    if let Some(reason) = unfit(&stream.config) {
        return Err(Trouble::Unfit(reason));
    }
    let made_consumer = match context.get_stream_no_info(STREAM).await?.consumer_info(name(&stream)).await {
        Ok(_) => false,
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => true,
        Err(error) => return Err(error.into()),
    };
    let consumer = context.create_consumer_on_stream(wanted_consumer(config, &stream), STREAM).await?;
    Ok(Found { stream, ack_wait: consumer.cached_info().config.ack_wait, made_stream, made_consumer })
}

/// What it takes never to drop a message that was accepted (I3). Bounded by messages: with discard-new, servers before
/// the fix of nats-server#4771 delete from the front of a stream that is bounded by bytes.
fn wanted_stream(config: &Config) -> StreamConfig {
    StreamConfig {
        name: STREAM.to_owned(),
        subjects: vec![SUBJECTS.to_owned()],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        max_messages: config.stream_max_messages.into(),
        max_bytes: -1,
        num_replicas: config.stream_replicas.into(),
        ..StreamConfig::default()
    }
}

fn unfit(config: &StreamConfig) -> Option<&'static str> {
    let checks = [
        (config.retention == RetentionPolicy::WorkQueue, "its retention is not work-queue"),
        (config.discard == DiscardPolicy::New, "it discards old messages when it is full"),
        (config.storage == StorageType::File, "its storage is not files"),
        (config.max_age.is_zero(), "its messages age out"),
        (config.max_bytes <= 0, "it is bounded by bytes, which older servers keep to by deleting (nats-server#4771)"),
        (config.max_messages_per_subject <= 0, "it is bounded by messages per subject"),
        (!config.no_ack, "it acknowledges nothing"),
        (config.subjects.iter().any(|subject| subject == SUBJECTS), "it does not listen to the workers' subjects"),
    ];
    checks.iter().find(|(fit, _)| !fit).map(|(_, reason)| *reason)
}

fn name(stream: &Info) -> String {
    consumer(StreamEpoch::from_unix_nanos(stream.created.unix_timestamp_nanos()))
}

fn wanted_consumer(config: &Config, stream: &Info) -> pull::Config {
    pull::Config {
        durable_name: Some(name(stream)),
        ack_policy: AckPolicy::Explicit,
        ack_wait: config.ack_wait,
        // Never given up by count: an outage redelivers without end, and what kills workers is counted in Postgres.
        max_deliver: -1,
        max_ack_pending: config.max_ack_pending.into(),
        ..pull::Config::default()
    }
}

/// Where the consumer of this epoch stands; `None` where it cannot be asked.
pub(crate) async fn cursor(context: &Context, epoch: StreamEpoch) -> Option<Cursor> {
    let stream = context.get_stream_no_info(STREAM).await.ok()?;
    let info = stream.consumer_info(consumer(epoch)).await.ok()?;
    Some(Cursor {
        created: info.created.unix_timestamp_nanos(),
        ack_floor: info.ack_floor.stream_sequence,
        delivered: info.delivered.stream_sequence,
    })
}

/// Deletes the consumer of this epoch. Another worker may have done so, or may do so next: whoever finds none makes one.
pub(crate) async fn delete_consumer(context: &Context, epoch: StreamEpoch) {
    if let Ok(stream) = context.get_stream_no_info(STREAM).await
        && let Err(error) = stream.delete_consumer(&consumer(epoch)).await
    {
        tracing::warn!(%error, "the consumer cannot be deleted");
    }
}

/// The stream as it is now; `None` where it is gone.
pub(crate) async fn look(context: &Context) -> Result<Option<Info>, Trouble> {
    match context.get_stream(STREAM).await {
        Ok(stream) => Ok(Some(stream.cached_info().clone())),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            _ => Err(error.into()),
        },
    }
}
