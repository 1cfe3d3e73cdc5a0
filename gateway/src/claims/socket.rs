//! A way to Redis: over TCP, or by a Unix socket.

use std::io;

use redis::{ConnectionAddr, ConnectionInfo};
use tokio::net::{TcpStream, UnixStream};

pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(super) async fn connect(info: &ConnectionInfo) -> io::Result<Self> {
        match info.addr() {
            ConnectionAddr::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                // A batch is all there is to send until it is answered.
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            ConnectionAddr::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "neither TCP nor a Unix socket")),
        }
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
        }
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable().await,
            Self::Unix(stream) => stream.writable().await,
        }
    }

    pub(super) fn try_read(&self, buffer: &mut impl bytes::BufMut) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read_buf(buffer),
            Self::Unix(stream) => stream.try_read_buf(buffer),
        }
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }
}
