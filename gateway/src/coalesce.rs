//! Coalesces the pieces of a small write.
//!
//! hyper keeps an answer's head and body apart and writes them by `writev`, which takes the kernel longer than copying a few
//! hundred bytes together takes us. hyper would copy too (`writev(false)`), but answers of any size; and what a batch is
//! answered holds its place until the peer has taken it, so it must not be let go for a copy.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use arrayvec::ArrayVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes up to which pieces are copied together. The answer to a delivery that is accepted has fewer.
const SMALL: usize = 1024;

/// A stream that coalesces small writes.
pub(crate) struct Coalesce<S>(S);

impl<S> Coalesce<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self(stream)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Coalesce<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Coalesce<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut small = ArrayVec::<u8, SMALL>::new();
        let stream = Pin::new(&mut self.0);
        match bufs.iter().try_for_each(|buf| small.try_extend_from_slice(buf)) {
            Ok(()) => stream.poll_write(cx, &small),
            Err(_) => stream.poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Takes some bytes of each write, and notes in how many pieces they came.
    struct Recorder {
        takes: usize,
        writes: Vec<(usize, Vec<u8>)>,
    }

    impl AsyncWrite for Recorder {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(buf)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).take(self.takes).collect();
            let taken = bytes.len();
            self.writes.push((bufs.len(), bytes));
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// What is told of a write of a head and such a body, and how it arrives.
    async fn write(takes: usize, body: &[u8]) -> (usize, (usize, Vec<u8>)) {
        let mut stream = Coalesce::new(Recorder { takes, writes: vec![] });
        let pieces = [IoSlice::new(b"head "), IoSlice::new(body)];
        let told = poll_fn(|cx| Pin::new(&mut stream).poll_write_vectored(cx, &pieces)).await.expect("taken");
        let [write] = stream.0.writes.try_into().expect("one write");
        (told, write)
    }

    #[tokio::test]
    async fn small_pieces_are_one_write_and_large_ones_stay_as_they_are() {
        assert_eq!(write(usize::MAX, b"body").await, (9, (1, b"head body".to_vec())));
        assert_eq!(write(7, b"body").await, (7, (1, b"head bo".to_vec())), "the rest is the caller's to write again");
        let (told, (pieces, bytes)) = write(usize::MAX, &[b'x'; SMALL - 5]).await;
        assert_eq!((told, pieces, bytes.len()), (SMALL, 1, SMALL));
        let (told, (pieces, bytes)) = write(usize::MAX, &[b'x'; SMALL - 4]).await;
        assert_eq!((told, pieces, bytes.len()), (SMALL + 1, 2, SMALL + 1));
    }
}
