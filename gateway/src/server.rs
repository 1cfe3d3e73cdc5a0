//! Accepts connections, as many as may be, and ends them all when the gateway stops.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// For the fuzz target, which serves bytes without a socket.
#[doc(hidden)]
pub use crate::connection::protocol;
use crate::connection::{Connection, Ends};
use crate::crowd::Crowd;
use crate::handler::Gateway;

/// Bounds of connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at a time. Where one more comes, strangers make way, then those idle the longest.
    pub connections: usize,
    /// Requests over HTTP/2 that strangers have open at a time, beyond the first of each connection. Where one more comes,
    /// it is refused, and those who have the most are cut off.
    pub strangers_streams: usize,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Header lines of a request.
    pub headers: usize,
    /// Longest time to the end of a request's head, idle time before it included; and longest time in which a peer
    /// that has an answer to read reads nothing.
    pub header_time: Duration,
    /// Longest time from the stop to the last answer.
    pub shutdown: Duration,
}

/// Serves until `shutdown`, then answers what is in flight, within the deadline. After that no connection is left.
pub async fn serve(listener: TcpListener, gateway: Arc<Gateway>, limits: Limits, shutdown: impl Future<Output = ()>) {
    let crowd = Crowd::new(limits.connections, limits.strangers_streams);
    let connections = TaskTracker::new();
    let ends = Ends { finish: CancellationToken::new(), abandon: CancellationToken::new() };
    let accepting = async {
        let mut complained = false;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    complained = false;
                    // Only one waits for its place here; the others wait in the kernel's backlog.
                    let member = crowd.join().await;
                    let connection = Connection::new(Arc::clone(&gateway), limits, ends.clone(), member);
                    connections.spawn(connection.serve(stream));
                }
                // A connection that died in the backlog is no fault of ours; a lack of file descriptors passes.
                Err(error) => {
                    if !std::mem::replace(&mut complained, true) {
                        tracing::warn!(%error, "cannot accept connections");
                    }
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
    ends.finish.cancel();
    connections.close();
    if timeout(limits.shutdown, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "not all connections ended within the deadline; closing them");
        ends.abandon.cancel();
        connections.wait().await;
    }
}
