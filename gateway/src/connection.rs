//! Serves HTTP/1.1 and HTTP/2 (prior knowledge) on one connection, everything bounded.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::handler::{Gateway, handle};
use crate::linger::Linger;
use crate::server::Limits;

/// How long a connection without a request may stay when it has been told to end.
const FAREWELL: Duration = Duration::from_secs(2);
/// Requests that one HTTP/2 connection may have open.
const STREAMS: u32 = 256;
/// Bytes of bodies that one HTTP/2 connection, and one stream of it, may send unread: what an unauthenticated peer can
/// make us hold.
const CONNECTION_WINDOW: u32 = 256 * 1024;
const STREAM_WINDOW: u32 = 64 * 1024;

/// How connections are told to end.
#[derive(Clone)]
pub(crate) struct Ends {
    /// Answer what is in flight, take nothing more.
    pub(crate) finish: CancellationToken,
    /// At once.
    pub(crate) abandon: CancellationToken,
}

/// hyper, told its bounds.
pub fn protocol(limits: Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(limits.header_bytes)
        .max_headers(limits.headers)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        // A peer that is gone, or stuck within a frame, does not answer pings.
        .keep_alive_interval(limits.header_time)
        .keep_alive_timeout(limits.header_time);
    builder
}

/// One connection, from accept to close.
pub(crate) struct Connection {
    gateway: Arc<Gateway>,
    limits: Limits,
    ends: Ends,
}

impl Connection {
    pub(crate) fn new(gateway: Arc<Gateway>, limits: Limits, ends: Ends) -> Self {
        gateway.metrics.connections.inc();
        Self { gateway, limits, ends }
    }

    /// Serves until the peer closes, is silent for too long, or the gateway stops.
    pub(crate) async fn serve(self, stream: TcpStream, protocol: &Builder<TokioExecutor>) {
        // An answer is one small packet; waiting to fill it would cost the caller a round trip.
        _ = stream.set_nodelay(true);
        let requests = Arc::new(Requests::default());
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let (gateway, begun) = (Arc::clone(&self.gateway), Requests::begin(&requests));
            async move {
                let answer = handle(&gateway, request).await;
                drop(begun);
                Ok::<_, Infallible>(answer)
            }
        });
        let mut connection = pin!(protocol.serve_connection(TokioIo::new(Linger::new(stream)), service));
        let mut finishing = false;
        loop {
            let patience = if finishing { FAREWELL.min(self.limits.header_time) } else { self.limits.header_time };
            tokio::select! {
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "connection ended");
                    }
                    return;
                }
                () = self.ends.abandon.cancelled() => return,
                () = self.ends.finish.cancelled(), if !finishing => {}
                // Says nothing, or does not read what it is told.
                () = requests.pause(patience) => if finishing { return },
            }
            connection.as_mut().graceful_shutdown();
            finishing = true;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.gateway.metrics.connections.dec();
    }
}

/// The requests of one connection. hyper bounds the time to a request's head, but not the silence before it knows the
/// protocol, nor that of an HTTP/2 peer, nor a peer that never reads its answers.
#[derive(Default)]
struct Requests {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

/// A request that is being handled.
struct Begun(Arc<Requests>);

impl Requests {
    fn begin(this: &Arc<Self>) -> Begun {
        this.begun.fetch_add(1, Ordering::Relaxed);
        Begun(Arc::clone(this))
    }

    /// Returns when for so long none was being handled and none began.
    async fn pause(&self, length: Duration) {
        loop {
            let before = self.begun.load(Ordering::Relaxed);
            sleep(length).await;
            if self.begun.load(Ordering::Relaxed) == before && self.ended.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}
