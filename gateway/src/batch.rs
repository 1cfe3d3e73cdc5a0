//! Many deliveries in one request: a line each, as [NDJSON](https://github.com/ndjson/ndjson-spec), read as they come, claimed and
//! published side by side, and answered in their order.
//!
//! ```text
//!   body ──▶ lines ──▶ a window of them, each through the same checks, claim and publish as a delivery alone ──▶ answers
//! ```
//!
//! What concerns the whole request is decided before the first line; after that a line fails alone. Answers are kept until the last:
//! most clients read none before they have sent all, and there are few enough.

mod line;
mod lines;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use hyper::body::Incoming;
use tokio::time::sleep;

use self::lines::Lines;
use crate::activity::Activity;
use crate::admission::Place;
use crate::auth::Sender;
use crate::catalog::Snapshot;
use crate::handler::{Gateway, Submission, accept, identify};
use crate::refusal::Refusal;
use crate::request::headers::Header;
use crate::request::route::Route;
use crate::request::{Asked, encoding::Encoding, trace};
use crate::respond::{self, Accepted};
use crate::service::{log_fault, note};

/// Most lines of a batch. As many again are answered 413, and no more.
pub(crate) const MAX_LINES: usize = 5000;
/// Most bytes of a batch, unpacked.
pub(crate) const MAX_BYTES: usize = 8 << 20;
/// Pause of a batch that has none in hand, and no place for one.
const PAUSE: Duration = Duration::from_millis(1);
/// Lines in hand at a time: what two messages carry, so that one is filled while the other is on its way.
const WINDOW: usize = 2 * proto::envelope::MAX_DELIVERIES;

/// A line's answer for each line.
pub(crate) struct Answers {
    pub(crate) lines: BytesMut,
    /// False where there was more than a batch may have, or not all of the body was read.
    pub(crate) whole: bool,
    /// The batch's place, until the answers are taken.
    pub(crate) place: Place,
}

/// Takes a batch.
pub(crate) async fn deliver(
    gateway: &Gateway,
    activity: &Activity,
    route: &Route<'_>,
    asked: &Asked<'_>,
    body: &mut Incoming,
) -> Result<Answers, Refusal> {
    let batch = gateway.batches.enter()?;
    let mut sender = Authorised::now(gateway, activity, route, asked)?;
    media_type(asked.headers.content_type)?;
    let encoding = Encoding::read(asked.headers.content_encoding)?;
    let mut lines = Lines::new(body, encoding, gateway.limits);
    let mut window = FuturesOrdered::new();
    let (mut answers, mut count, mut more) = (BytesMut::new(), 0, true);
    let mut place = None;
    while more || !window.is_empty() {
        // Before the line is read: what cannot be taken yet is left where it is.
        place = place.or_else(|| gateway.lines.enter().ok());
        tokio::select! {
            biased;
            line = lines.next(), if more && place.is_some() && window.len() < WINDOW => match (line, place.take()) {
                (Some(line), Some(place)) => {
                    count += 1;
                    more = count < 2 * MAX_LINES;
                    let line = if count > MAX_LINES { Err(Refusal::PayloadTooLarge) } else { line };
                    let sender = sender.still(gateway, activity, route, asked);
                    window.push_back(one(gateway, sender, asked, line, place));
                }
                _ => more = false,
            },
            Some(result) = window.next() => respond::line(&result, &mut answers),
            // All places are others', who have answers to wait for.
            () = sleep(PAUSE), if place.is_none() && window.is_empty() => {}
        }
    }
    gateway.metrics.batch_lines.observe(count as f64);
    Ok(Answers { lines: answers, place: batch, whole: count <= MAX_LINES && lines.whole() })
}

/// Who sends, by the catalog of then: a batch may take a minute, and what is switched off is off within a second.
struct Authorised {
    sender: Arc<Sender>,
    catalog: Option<Arc<Snapshot>>,
}

impl Authorised {
    fn now(gateway: &Gateway, activity: &Activity, route: &Route<'_>, asked: &Asked<'_>) -> Result<Self, Refusal> {
        let catalog = gateway.catalog.current();
        let sender = identify(gateway, activity, route, asked.headers.secret)?.may_send()?;
        Ok(Self { sender: Arc::new(sender), catalog })
    }

    fn still(
        &mut self,
        gateway: &Gateway,
        activity: &Activity,
        route: &Route<'_>,
        asked: &Asked<'_>,
    ) -> Result<Arc<Sender>, Refusal> {
        let (now, then) = (gateway.catalog.current(), &self.catalog);
        if !matches!((&now, then), (Some(now), Some(then)) if Arc::ptr_eq(now, then)) {
            *self = Self::now(gateway, activity, route, asked)?;
        }
        Ok(Arc::clone(&self.sender))
    }
}

/// One line: a delivery like any other.
async fn one(
    gateway: &Gateway,
    sender: Result<Arc<Sender>, Refusal>,
    asked: &Asked<'_>,
    line: Result<bytes::Bytes, Refusal>,
    place: Place,
) -> Result<Accepted, Refusal> {
    let began = Instant::now();
    let result = async {
        let (line, sender) = (line?, sender?);
        let line = line::read(&line, gateway.limits.bytes)?;
        let (id, traceparent) = (&asked.id, trace::parent(asked.headers.traceparent));
        let (key, selector, body) = (line.key, line.selector, line.payload);
        accept(gateway, &sender, Submission { place, key, selector, body, id, traceparent, wait: None }, began).await
    }
    .await;
    note(gateway, asked, &result, began);
    result.inspect_err(|refusal| log_fault(&asked.id, refusal))
}

/// Only NDJSON, by its one name; what follows a semicolon means nothing to it.
fn media_type(header: Header<'_>) -> Result<(), Refusal> {
    let Header::Once(value) = header else { return Err(Refusal::UnsupportedMediaType) };
    let named = value.to_str().ok().and_then(|value| value.split(';').next());
    let right = named.is_some_and(|named| named.trim().eq_ignore_ascii_case(MEDIA_TYPE));
    if right { Ok(()) } else { Err(Refusal::UnsupportedMediaType) }
}

/// Of a batch and of its answer.
pub(crate) const MEDIA_TYPE: &str = "application/x-ndjson";
