//! The stream and its consumer: what they must be, and how they are found or made.

use async_nats::{
    error::Error,
    jetstream::{
        Context, ErrorCode,
        consumer::{AckPolicy, Info as ConsumerInfo, pull},
        context::{ConsumerInfoErrorKind, CreateStreamErrorKind, GetStreamErrorKind},
        stream::{Config as StreamConfig, DiscardPolicy, Info, RetentionPolicy, StorageType},
    },
};
use proto::queue::{CONSUMER, STREAM, SUBJECTS};

use crate::config::Config;

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

/// The stream, and whether it had to be made.
pub(crate) async fn find_or_make_stream(context: &Context, config: &Config) -> Result<(Info, bool), Trouble> {
    let (info, made) = match context.get_stream(STREAM).await {
        Ok(stream) => (stream.cached_info().clone(), false),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                match context.create_stream(wanted_stream(config)).await {
                    Ok(stream) => (stream.cached_info().clone(), true),
                    // Another worker, set up otherwise, was faster.
                    Err(error) if matches!(error.kind(), CreateStreamErrorKind::JetStream(e) if e.error_code() == ErrorCode::STREAM_NAME_EXIST) => {
                        (context.get_stream(STREAM).await?.cached_info().clone(), false)
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            _ => return Err(error.into()),
        },
    };
    match unfit(&info.config) {
        Some(reason) => Err(Trouble::Unfit(reason)),
        None => Ok((info, made)),
    }
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
        (config.subjects.iter().any(|subject| subject == SUBJECTS), "it does not listen to the workers' subjects"),
    ];
    checks.iter().find(|(fit, _)| !fit).map(|(_, reason)| *reason)
}

/// The consumer, and whether it had to be made. `settle` makes an existing one what the settings say.
pub(crate) async fn find_or_make_consumer(
    context: &Context,
    config: &Config,
    settle: bool,
) -> Result<(ConsumerInfo, bool), Trouble> {
    let stream = context.get_stream_no_info(STREAM).await?;
    let made = match stream.consumer_info(CONSUMER).await {
        Ok(info) if !settle => return Ok((info, false)),
        Ok(_) => false,
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => true,
        Err(error) => return Err(error.into()),
    };
    let wanted = pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: config.ack_wait,
        // Never given up by count: an outage redelivers without end, and what kills workers is counted in Postgres.
        max_deliver: -1,
        max_ack_pending: config.max_ack_pending.into(),
        ..pull::Config::default()
    };
    let consumer = context.create_consumer_on_stream(wanted, STREAM).await?;
    Ok((consumer.cached_info().clone(), made))
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
