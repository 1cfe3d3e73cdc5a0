//! Serves HTTP/1.1 and HTTP/2 (prior knowledge) on one connection, everything bounded.

mod executor;
mod seldom;

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use self::executor::Executor;
use self::seldom::Seldom;
use crate::activity::Answer;
use crate::crowd::Member;
use crate::handler::Gateway;
use crate::linger::Linger;
use crate::respond;
use crate::server::Limits;
use crate::service::{handle, recognise, turn_away};

/// How long a connection without a request may stay when it has been told to end.
const FAREWELL: Duration = Duration::from_secs(2);
/// The same where another waits for its place.
const HASTE: Duration = Duration::from_millis(100);
/// Requests that one HTTP/2 connection may have open: no fewer than 100, says RFC 9113, section 6.5.2. More would buy
/// no throughput (a hundred at a millisecond each are 100,000 a second), and each may hold an answer that is not read.
const STREAMS: u32 = 100;
/// Bytes of bodies that one HTTP/2 connection, and one stream of it, may send unread: what an unauthenticated peer can
/// make us hold.
const CONNECTION_WINDOW: u32 = 256 * 1024;
const STREAM_WINDOW: u32 = 64 * 1024;
/// Longest HTTP/2 frame: the least that a peer must be allowed (RFC 9113, section 4.2), since each is held whole.
const FRAME: u32 = 16 * 1024;
/// Bytes of an answer that hyper may hold for a stream. Ours have a few hundred; its own default is for downloads.
const SEND_BUFFER: usize = 16 * 1024;
/// Streams reset by their peer before they were looked at, after which it is told to go away: h2's answer to
/// CVE-2023-44487 (rapid reset), and its default (`DEFAULT_REMOTE_RESET_STREAM_MAX`).
const PENDING_RESETS: usize = 20;
/// Streams that we had to reset for a fault of the peer's, in a connection's life, after which it is told to go away:
/// h2's answer to CVE-2025-8671 (MadeYouReset). Its default of 1024 is for proxies, which pass on other's faults.
const FAULTY_STREAMS: usize = 100;

/// How connections are told to end.
#[derive(Clone)]
pub(crate) struct Ends {
    /// Answer what is in flight, take nothing more.
    pub(crate) finish: CancellationToken,
    /// At once.
    pub(crate) abandon: CancellationToken,
}

/// hyper, told its bounds.
pub fn protocol<E>(limits: Limits, executor: E) -> Builder<E> {
    let mut builder = Builder::new(executor);
    builder
        // No timer of its own for heads: it would start one for each, and look once more whether there is something to read.
        // What bounds silence ([`Activity::pause`]) bounds a head that does not end, too.
        .http1()
        .max_buf_size(limits.header_bytes)
        .max_headers(limits.headers)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_frame_size(FRAME)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(FAULTY_STREAMS)
        // From it h2 also computes how many CONTINUATION frames a head may have (CVE-2024-27316).
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        // A peer that is gone, or stuck within a frame, does not answer pings.
        .keep_alive_interval(limits.header_time)
        .keep_alive_timeout(limits.header_time);
    builder
}

/// Why a connection is to end.
#[derive(Clone, Copy)]
enum Reason {
    /// The gateway has stopped.
    Abandoned,
    /// The gateway is stopping.
    Finish,
    /// Others wait for its place.
    Leave,
    /// Nothing has been asked for too long; which time that this is counted.
    Paused(u32),
    /// It does not read its answers.
    Unread,
    /// It was to leave, and has not.
    Overstayed,
    /// It has too many requests open.
    CutOff,
}

/// One connection, from accept to close.
pub(crate) struct Connection {
    #[expect(
        clippy::redundant_allocation,
        reason = "counted for each connection: a count of all requests would go to and fro between the caches of all threads"
    )]
    gateway: Arc<Arc<Gateway>>,
    limits: Limits,
    ends: Ends,
    member: Member,
}

impl Connection {
    pub(crate) fn new(gateway: Arc<Gateway>, limits: Limits, ends: Ends, member: Member) -> Self {
        gateway.metrics.connections.inc();
        Self { gateway: Arc::new(gateway), limits, ends, member }
    }

    /// Serves until the peer closes, is silent for too long, leaves its answers unread, or is in the way of others; or
    /// until the gateway stops.
    pub(crate) async fn serve(self, stream: TcpStream) {
        // An answer is one small packet; waiting to fill it would cost the caller a round trip.
        _ = stream.set_nodelay(true);
        let activity = &self.member.activity;
        let executor = Executor::default();
        let protocol = protocol(self.limits, executor.clone());
        let service = service_fn(|request| self.answer(&executor, request));
        let mut connection = pin!(protocol.serve_connection(TokioIo::new(Linger::new(stream)), service));
        let (mut patience, mut pauses) = (self.limits.header_time, 0);
        let mut finishing = false;
        // All that may end it. A request wakes this task several times, and none of these; so they are not asked each time.
        let reasons = FuturesUnordered::new();
        reasons.push(self.reason(Reason::Abandoned, self.ends.abandon.cancelled()));
        reasons.push(self.reason(Reason::Finish, self.ends.finish.cancelled()));
        reasons.push(self.reason(Reason::Leave, activity.leave.cancelled()));
        reasons.push(self.reason(Reason::Paused(pauses), activity.pause(patience)));
        reasons.push(self.reason(Reason::Unread, activity.unread(self.limits.header_time)));
        reasons.push(self.reason(Reason::Overstayed, activity.overstayed(HASTE)));
        reasons.push(self.reason(Reason::CutOff, activity.cut_off()));
        let mut reasons = Seldom::new(reasons);
        loop {
            let reason = tokio::select! {
                biased;
                Some(reason) = reasons.next() => reason,
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "connection ended");
                    }
                    return;
                }
            };
            match reason {
                Reason::Finish | Reason::Leave if finishing => continue,
                Reason::Finish => patience = FAREWELL.min(patience),
                Reason::Leave => patience = HASTE.min(patience),
                // Its time is counted anew since.
                Reason::Paused(nth) if nth != pauses => continue,
                // Says nothing, or does not read what it is told.
                Reason::Paused(_) if !finishing => patience = FAREWELL.min(patience),
                Reason::CutOff => {
                    self.gateway.metrics.connections_evicted.inc();
                    return;
                }
                Reason::Abandoned | Reason::Paused(_) | Reason::Unread | Reason::Overstayed => return,
            }
            connection.as_mut().graceful_shutdown();
            finishing = true;
            pauses += 1;
            reasons.change(|reasons| reasons.push(self.reason(Reason::Paused(pauses), activity.pause(patience))));
        }
    }

    fn reason<'a>(
        &self,
        reason: Reason,
        come: impl Future<Output = ()> + Send + 'a,
    ) -> Pin<Box<dyn Future<Output = Reason> + Send + 'a>> {
        Box::pin(come.map(move |()| reason))
    }

    /// Answers one request. Over HTTP/2 all those that a peer has sent are taken before any of them is looked at, and each
    /// may take a hundred times the memory that it took to send. So what is too much is refused here, and not held.
    fn answer(
        &self,
        executor: &Executor,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Answer>, Infallible>> + use<> {
        let (gateway, handled) = (Arc::clone(&self.gateway), self.member.activity.begin());
        let activity = &self.member.activity;
        let stream = (request.version() == Version::HTTP_2).then(|| activity.open());
        let crowded = stream.is_some() && activity.streams.crowded();
        let mut request = match crowded.then(|| recognise(&gateway, activity, &request)) {
            Some(Err(refusal)) => {
                self.member.refuse();
                executor.at_once();
                Err(turn_away(&gateway, request, &refusal))
            }
            // hyper counts header lines over HTTP/1 only, and each takes more memory than its bytes.
            _ if request.headers().len() > self.limits.headers => Err(respond::too_many_headers()),
            _ => Ok(request.into_parts()),
        };
        async move {
            let answer = match request {
                // Lent: hyper moves this future, and what is moved into another one is kept room for twice.
                Ok((ref head, ref mut body)) => handle(&gateway, handled.activity(), head, body).await,
                Err(answer) => answer,
            };
            Ok(answer.map(|body| handled.activity().answer(body, stream)))
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.gateway.metrics.connections.dec();
    }
}
