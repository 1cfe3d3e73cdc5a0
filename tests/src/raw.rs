//! A client that can be wrong, and slow: bytes on a connection.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A connection to a gateway.
pub struct Raw(TcpStream);

impl Raw {
    /// Connects to `http://host:port`.
    pub async fn connect(url: &str) -> Self {
        Self(TcpStream::connect(url.strip_prefix("http://").expect("http")).await.expect("connects"))
    }

    /// Sends bytes; false if the other side has closed.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Reads until the text ends with `end` or the connection does.
    pub async fn read_until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        let reading = async {
            let mut buffer = [0; 4096];
            while !text.ends_with(end.as_bytes()) {
                match self.0.read(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => text.extend_from_slice(&buffer[..count]),
                }
            }
        };
        timeout(Duration::from_secs(30), reading).await.expect("an end within half a minute");
        String::from_utf8(text).expect("UTF-8")
    }

    /// Reads one answer with a JSON object as its body.
    pub async fn answer(&mut self) -> String {
        self.read_until("}").await
    }

    /// Reads until the other side closes.
    pub async fn read_to_end(&mut self) -> String {
        self.read_until("\0never").await
    }
}
