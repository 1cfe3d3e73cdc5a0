//! One message: out, acknowledged, and every caller told.

use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use proto::claim::State;
use proto::{Claim, envelope, queue};
use tokio::sync::watch;
use uuid::Uuid;

use super::marker::Marks;
use super::{Item, Published};
use crate::queue::{LATE, Queue};
use crate::refusal::Refusal;

/// Publishes one group. Every item gets the fate of the whole.
pub(super) async fn publish(queue: Queue, mut group: Vec<Item>, marks: Marks) {
    // Before the message leaves: if the stream is lost and made anew meanwhile, the marks must name the old one. A
    // mark that is too old costs one more message; one that is too new would hide a loss for ever (I3).
    let epoch = queue.epoch();
    // Subscribed before the question is asked, so that no disconnect falls between the two.
    let mut disconnects = queue.disconnects();
    disconnects.mark_unchanged();
    let fate = match queue.refuses() {
        // Not noted: what was never sent says nothing of the broker, and must not hide what the last one said that was.
        Some(reason) => Err(reason),
        None => {
            let fate = acknowledged(&queue, disconnects, &group).await;
            queue.note(fate.as_ref().err().copied());
            fate
        }
    };
    if fate.is_ok() {
        ops::kill_point!(Acknowledged);
        let published = |claim| Claim { state: State::Published, epoch, ..claim };
        marks.leave(group.iter_mut().filter_map(|item| Some((item.run, published(item.claim.take()?)))).collect());
    }
    for item in group {
        item.meets(match &fate {
            Ok(_) => Ok(Published(())),
            Err(reason) => Err(Refusal::Unavailable(reason)),
        });
    }
}

/// Accepted means a PubAck without error and with a sequence. Anything else is ambiguous at best: the caller gets a
/// 503 and its retry helps.
async fn acknowledged(
    queue: &Queue,
    mut disconnects: watch::Receiver<u64>,
    group: &[Item],
) -> Result<PublishAck, &'static str> {
    let sent = async {
        let message = PublishMessage::build()
            .headers(headers(group.len()))
            // Random: it only makes resending this very message cheap. Identity is Postgres' business.
            .message_id(Uuid::new_v4().simple().to_string())
            .payload(envelope::encode(group.iter().map(|item| &item.encoded)));
        let ack = queue.jetstream().send_publish(queue::subject(0), message).await?;
        ops::kill_point!(Sent, queue.jetstream().client().flush());
        ack.await
    };
    let ack = tokio::select! {
        ack = sent => ack,
        _ = disconnects.changed() => return Err("nats: the connection was lost"),
    };
    match ack {
        Ok(ack) if ack.sequence > 0 && ack.stream == queue::STREAM => Ok(ack),
        Ok(_) => Err("nats: acknowledged by another stream, or without a sequence"),
        Err(error) if error.kind() == PublishErrorKind::TimedOut => Err(LATE),
        Err(error) => {
            tracing::debug!(%error, "nats: publish failed");
            Err("nats: publish was refused")
        }
    }
}

fn headers(count: usize) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(queue::COUNT_HEADER, count.to_string());
    headers
}
