//! Accepts connections and serves HTTP/1.1 and HTTP/2 (prior knowledge) on them, everything bounded.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::handler::{Gateway, handle};
use crate::linger::Linger;

/// Bounds of connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at a time; more wait in the kernel's backlog.
    pub connections: usize,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Header lines of a request.
    pub headers: usize,
    /// Longest time to the end of a request's head, idle time before it included.
    pub header_time: Duration,
    /// Longest time from the stop to the last answer.
    pub shutdown: Duration,
}

/// Bytes of HTTP/2's connection preface (RFC 9113, section 3.4): fewer do not tell which protocol is spoken.
const PREFACE: usize = 24;
/// Requests that one HTTP/2 connection may have open.
const STREAMS: u32 = 256;
/// Bytes of bodies that one HTTP/2 connection, and one stream of it, may send unread: what an unauthenticated peer can
/// make us hold.
const CONNECTION_WINDOW: u32 = 256 * 1024;
const STREAM_WINDOW: u32 = 64 * 1024;

/// Serves until `shutdown`, then answers what is in flight, within the deadline.
pub async fn serve(listener: TcpListener, gateway: Arc<Gateway>, limits: Limits, shutdown: impl Future<Output = ()>) {
    let protocol = protocol(limits);
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let accepting = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection =
                        connection(stream, protocol.clone(), Arc::clone(&gateway), limits, graceful.watcher());
                    tokio::spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                // A connection that died in the backlog is no fault of ours; a lack of file descriptors passes.
                Err(error) => {
                    tracing::debug!(%error, "accept failed");
                    sleep(Duration::from_millis(10)).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = shutdown => {}
    }
    drop(listener);
    if timeout(limits.shutdown, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not end within the deadline; closing them");
    }
}

fn protocol(limits: Limits) -> Builder<TokioExecutor> {
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

async fn connection(
    stream: TcpStream,
    protocol: Builder<TokioExecutor>,
    gateway: Arc<Gateway>,
    limits: Limits,
    watcher: Watcher,
) {
    gateway.metrics.connections.inc();
    // An answer is one small packet; waiting to fill it would cost the caller a round trip.
    _ = stream.set_nodelay(true);
    let (stream, read) = Linger::new(stream);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let gateway = Arc::clone(&gateway);
        async move { Ok::<_, Infallible>(handle(&gateway, request).await) }
    });
    let serving = watcher.watch(protocol.serve_connection(TokioIo::new(stream), service).into_owned());
    // hyper's own time-outs begin once it knows the protocol; until then this one holds.
    let silent = async {
        sleep(limits.header_time).await;
        if read.load(Ordering::Relaxed) >= PREFACE {
            std::future::pending().await
        }
    };
    tokio::select! {
        result = serving => if let Err(error) = result {
            tracing::debug!(%error, "connection ended");
        },
        () = silent => {}
    }
    gateway.metrics.connections.dec();
}
