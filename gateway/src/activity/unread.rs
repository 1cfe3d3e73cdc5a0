//! An answer on its way to its peer.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

use super::{Activity, Stream};

/// An answer that its peer has not taken.
struct Unread {
    activity: Arc<Activity>,
    period: usize,
    _stream: Option<Stream>,
}

/// An answer's body, in one piece.
pub(crate) struct Answer {
    body: Full<Bytes>,
    /// None where there is nothing to be taken.
    unread: Option<Unread>,
}

/// It goes with the bytes themselves: h2 takes all that the peer's window has room for and holds it until the socket has
/// room too, when hyper has long done with the body. What is small it copies, 16 KiB at most; that is not seen here.
pub(crate) struct Piece {
    bytes: Bytes,
    _unread: Unread,
}

impl Activity {
    /// An answer over HTTP/2 has its stream, and is to be taken even where it is empty: the head before it is held as long.
    pub(crate) fn answer(self: &Arc<Self>, body: Full<Bytes>, stream: Option<Stream>) -> Answer {
        let unread = (stream.is_some() || !body.is_end_stream()).then(|| {
            let period = self.period.load(Ordering::Relaxed);
            self.unread[period].fetch_add(1, Ordering::Relaxed);
            Unread { activity: Arc::clone(self), period, _stream: stream }
        });
        Answer { body, unread }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.activity.unread[self.period].fetch_sub(1, Ordering::Relaxed);
    }
}

impl Body for Answer {
    type Data = Piece;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, Infallible>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose()?;
        let bytes = frame.and_then(|frame| frame.into_data().ok()).unwrap_or_default();
        Poll::Ready(self.unread.take().map(|unread| Ok(Frame::data(Piece { bytes, _unread: unread }))))
    }

    fn is_end_stream(&self) -> bool {
        self.unread.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{Duration, sleep, timeout};

    use super::*;
    use crate::crowd::Crowd;

    fn unread(activity: &Activity) -> usize {
        activity.unread.iter().map(|period| period.load(Ordering::Relaxed)).sum()
    }

    /// The peer's windows have room for all answers, its socket for none, and h2 buffers a few.
    #[tokio::test]
    async fn what_the_socket_does_not_take_is_unread() {
        const REQUESTS: u8 = 50;
        let member = Crowd::new(1, 1).join().await;
        let (mut peer, ours) = duplex(512);
        let service = service_fn(|_| {
            let stream = member.activity.open();
            let answer = member.activity.answer(Full::from(vec![b'a'; 1000]), Some(stream));
            async { Ok::<_, Infallible>(http::Response::new(answer)) }
        });
        let serving = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(ours), service);
        let attack = async {
            peer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("is taken");
            for request in 0..REQUESTS {
                // A GET by names of the static table: `:method`, `:scheme`, `:path`.
                let head = [0, 0, 3, 1, 5, 0, 0, 0, 2 * request + 1, 0x82, 0x86, 0x84];
                peer.write_all(&head).await.expect("is taken");
            }
            let answering = async {
                while unread(&member.activity) <= usize::from(REQUESTS / 2) {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            timeout(Duration::from_secs(10), answering).await.expect("most are unread");
            let reading = async {
                while unread(&member.activity) > 0 {
                    peer.read_u8().await.expect("more to come");
                }
            };
            timeout(Duration::from_secs(10), reading).await.expect("all is read");
        };
        tokio::select! {
            _ = serving => panic!("the connection ended"),
            () = attack => {}
        }
    }
}
