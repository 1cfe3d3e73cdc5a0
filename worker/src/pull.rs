//! Takes what is waiting, and no more than one batch of it.
//!
//! One request does it: `no_wait` with an expiry gives what is there and ends as soon as nothing more is, or waits for
//! the first message where nothing is (ADR-13; nats-server since 2.7). So an idle worker commits one delivery at once
//! and a busy one hundreds, and what is not in a batch is still at the broker.
//!
//! The inbox lives as long as its lane, and an expired request is never abandoned before the broker has ended it: a
//! message sent to an inbox that is gone would be missing until its ack wait is over.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_nats::{PublishError, StatusCode, Subject, Subscriber};
use futures_util::StreamExt;
use proto::{
    StreamEpoch,
    queue::{STREAM, consumer},
};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use crate::{
    message::Message,
    queue::{Attached, Queue},
};

/// How long a request waits where nothing is there. Also how long an idle worker takes to stop.
const EXPIRES: Duration = Duration::from_secs(1);
/// How much longer the answer may take before the request counts as lost.
const GRACE: Duration = Duration::from_secs(2);
/// From this delivery on a message is processed alone: it may be what killed the workers that had it before.
const SUSPECT_FROM: i64 = 3;

/// Pulls for one lane.
pub(crate) struct Puller {
    queue: Arc<Queue>,
    inbox: String,
    subscriber: Subscriber,
    requests: u64,
    turned_away: u32,
    messages: usize,
    bytes: usize,
}

/// Messages of one stream to be settled in one transaction. At least one; made by a pull only.
pub(crate) struct Batch {
    epoch: StreamEpoch,
    messages: Vec<Message>,
    suspect: bool,
    /// What an attempt at the suspect is counted under, however often that is done.
    pub(crate) attempt: Uuid,
    /// Whether it is known to be counted. Where an answer was lost, it may be all the same.
    pub(crate) counted: AtomicBool,
}

impl Batch {
    fn new(message: Message, suspect: bool) -> Self {
        let (epoch, messages) = (message.epoch, vec![message]);
        Self { epoch, messages, suspect, attempt: Uuid::new_v4(), counted: AtomicBool::new(false) }
    }

    /// The stream that the sequences are of.
    pub(crate) fn epoch(&self) -> StreamEpoch {
        self.epoch
    }

    /// In the order in which they came.
    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The only message of a batch that is one because its message came back too often.
    pub(crate) fn suspect(&self) -> Option<&Message> {
        self.messages.first().filter(|_| self.suspect)
    }
}

/// What a request has brought.
pub(crate) struct Pulled {
    /// Suspects each in a batch of its own.
    pub(crate) batches: Vec<Batch>,
    /// Whether there was no room for all that waits.
    pub(crate) more: bool,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing more was there.
    Empty,
    /// It has all that it may have.
    Full,
    /// Stream or consumer may be gone.
    Doubtful,
}

impl Puller {
    pub(crate) async fn new(
        queue: Arc<Queue>,
        messages: usize,
        bytes: usize,
    ) -> Result<Self, async_nats::SubscribeError> {
        let inbox = queue.client.new_inbox();
        let subscriber = queue.client.subscribe(format!("{inbox}.*")).await?;
        Ok(Self { queue, inbox, subscriber, requests: 0, turned_away: 0, messages, bytes })
    }

    /// One request: nothing, or what was waiting. Must not be dropped half-way.
    pub(crate) async fn pull(&mut self, attached: Attached) -> Pulled {
        let began = Instant::now();
        let (messages, end) = self.request(attached.epoch).await;
        if end == End::Doubtful {
            self.queue.doubt();
        }
        if messages.is_empty() && began.elapsed() < EXPIRES / 2 {
            // Turned away: other workers wait for the same few messages, or too much is in hand. Soon again, then less soon.
            self.turned_away = (self.turned_away + 1).min(6);
            sleep(Duration::from_millis(1 << self.turned_away).mul_f64(0.5 + fastrand::f64())).await;
        } else {
            self.turned_away = 0;
        }
        Pulled { batches: batches(messages), more: end == End::Full }
    }

    async fn request(&mut self, epoch: StreamEpoch) -> (Vec<Message>, End) {
        self.requests += 1;
        let reply = Subject::from(format!("{}.{}", self.inbox, self.requests));
        let mut messages = Vec::new();
        if self.send(epoch, reply.clone()).await.is_err() {
            return (messages, End::Doubtful);
        }
        let patience = Instant::now() + EXPIRES + GRACE;
        while messages.len() < self.messages {
            // On silence the connection broke, or the broker forgot: what it still sends comes with a later batch.
            let Ok(Some(message)) = timeout_at(patience, self.subscriber.next()).await else {
                return (messages, End::Doubtful);
            };
            match message.status {
                None | Some(StatusCode::OK) => messages.extend(Message::new(message, &self.queue.context)),
                // The end of an earlier request.
                Some(_) if message.subject != reply => {}
                Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => return (messages, End::Empty),
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                // Full by bytes; the text is part of the protocol (server/consumer.go), there is no code for it.
                Some(_) if message.description.as_deref().is_some_and(|text| text.contains("Exceeds MaxBytes")) => {
                    return (messages, End::Full);
                }
                Some(status) => {
                    tracing::warn!(%status, description = message.description.as_deref(), "a pull was refused");
                    return (messages, End::Doubtful);
                }
            }
        }
        (messages, End::Full)
    }

    async fn send(&self, epoch: StreamEpoch, reply: Subject) -> Result<(), PublishError> {
        // One message must always fit, with its subjects and headers, or it would never be given to anybody.
        let bytes = self.bytes.max(self.queue.client.max_payload() + 4096);
        let (messages, expires) = (self.messages, EXPIRES.as_nanos());
        let request = format!(r#"{{"batch":{messages},"max_bytes":{bytes},"expires":{expires},"no_wait":true}}"#);
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{}", consumer(epoch));
        self.queue.client.publish_with_reply(subject, reply, request.into()).await
    }
}

/// Suspects each alone; the others together, but for what a late answer brings of a stream that was lost.
fn batches(messages: Vec<Message>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut suspects = Vec::new();
    for message in messages {
        let epoch = message.epoch;
        if message.delivered >= SUSPECT_FROM {
            suspects.push(Batch::new(message, true));
        } else if let Some(batch) = batches.last_mut().filter(|batch| batch.epoch == epoch) {
            batch.messages.push(message);
        } else {
            batches.push(Batch::new(message, false));
        }
    }
    // Suspects last: one of them may end this process, and the others should be settled by then.
    batches.append(&mut suspects);
    batches
}
