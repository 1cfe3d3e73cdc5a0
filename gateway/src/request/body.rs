//! Check 10: the body, bounded in size and time; and what becomes of a body that nobody wanted.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use crate::admission::Admission;
use crate::refusal::Refusal;

/// How much of an unwanted body is read, so that its sender gets to read the answer.
pub const DRAIN_BYTES: usize = 256 * 1024;
/// How long an unwanted body is read.
pub const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Bounds of a body.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes.
    pub bytes: usize,
    /// Longest time from the first read to the last byte.
    pub time: Duration,
}

/// Reads the whole body.
pub async fn read(body: &mut Incoming, limits: Limits) -> Result<Bytes, Refusal> {
    // What is announced too long is not read at all.
    if body.size_hint().lower() > limits.bytes as u64 {
        return Err(Refusal::PayloadTooLarge);
    }
    let mut collecting = pin!(collect(body, limits.bytes));
    // hyper hands out what it has received already when it is asked a second time. Most bodies are, and need no timer.
    let mut asked = false;
    let at_once = poll_fn(|context| match collecting.as_mut().poll(context) {
        Poll::Ready(read) => Poll::Ready(Some(read)),
        Poll::Pending if std::mem::replace(&mut asked, true) => Poll::Ready(None),
        Poll::Pending => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    });
    match at_once.await {
        Some(read) => read,
        None => timeout(limits.time, collecting).await.unwrap_or(Err(Refusal::RequestTimeout)),
    }
}

async fn collect(body: &mut Incoming, limit: usize) -> Result<Bytes, Refusal> {
    let Some(first) = data(body).await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(Refusal::PayloadTooLarge);
    }
    // Most bodies arrive in one piece, which is then used as it is.
    let Some(second) = data(body).await? else { return Ok(first) };
    let mut whole = BytesMut::from(first);
    let mut next = Some(second);
    while let Some(piece) = next {
        if whole.len() + piece.len() > limit {
            return Err(Refusal::PayloadTooLarge);
        }
        whole.extend_from_slice(&piece);
        next = data(body).await?;
    }
    Ok(whole.freeze())
}

/// The next piece of a body; none at its end.
pub(crate) async fn data(body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    while let Some(frame) = body.frame().await {
        // Cut off, or framed wrongly; whoever still listens learns that it did not arrive whole.
        let frame = frame.map_err(|_| Refusal::BrokenBody)?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Reads a little of a body that was refused unread. True if that was all of it, so that the connection can go on.
///
/// Who waits for `100 Continue`, or has announced more than would be read, is not made to send it. Nor is anybody where
/// `places` has none left: anyone can be refused, and each would keep a request's head in memory meanwhile.
pub async fn drain(places: &Admission, headers: &HeaderMap, body: &mut Incoming) -> bool {
    if body.is_end_stream() {
        return true;
    }
    let Ok(_place) = places.enter() else { return false };
    if headers.contains_key(header::EXPECT) || body.size_hint().lower() > DRAIN_BYTES as u64 {
        return false;
    }
    let all = async {
        let mut drained = 0;
        loop {
            match data(body).await {
                Ok(Some(piece)) if drained + piece.len() <= DRAIN_BYTES => drained += piece.len(),
                Ok(None) => return true,
                Ok(Some(_)) | Err(_) => return false,
            }
        }
    };
    timeout(DRAIN_TIME, all).await.unwrap_or(false)
}
