//! An HTTP/2 peer that says what it likes: frames by hand (RFC 9113), heads as plain HPACK literals (RFC 7541).

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub mod kind {
    #![allow(missing_docs, reason = "the names are those of RFC 9113, section 6")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// The frame ends its stream's half.
pub const END_STREAM: u8 = 1;
/// The frame ends a head.
pub const END_HEADERS: u8 = 4;

/// A frame as it came.
#[derive(Debug)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its stream.
    pub stream: u32,
    /// Its content.
    pub payload: Vec<u8>,
}

/// Bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("below 16 MiB");
    [&length.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// One field of a head, not to be remembered.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    [vec![0], string(name), string(value)].concat()
}

/// The head of a `POST` to `path` with these fields.
pub fn post(path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x")];
    pseudo.iter().chain(fields).flat_map(|(name, value)| field(name, value)).collect()
}

/// A string literal: its length as an integer with a prefix of seven bits (RFC 7541, sections 5.1 and 5.2).
pub fn string(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = text.len();
    if length < 127 {
        bytes.push(length as u8);
    } else {
        bytes.push(127);
        let mut rest = length - 127;
        while rest >= 128 {
            bytes.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        bytes.push(rest as u8);
    }
    bytes.extend(text.bytes());
    bytes
}

/// A connection.
pub struct Peer(TcpStream);

impl Peer {
    /// Connects to `http://host:port` and says the preface and these settings.
    pub async fn connect(url: &str, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(url.strip_prefix("http://").expect("http")).await.expect("connects");
        let mut peer = Self(stream);
        let settings: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        peer.send([PREFACE, &frame(kind::SETTINGS, 0, 0, &settings)].concat()).await;
        peer
    }

    /// Sends bytes; false if the other side has closed, or takes none for five seconds.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        timeout(Duration::from_secs(5), self.0.write_all(bytes.as_ref())).await.is_ok_and(|sent| sent.is_ok())
    }

    /// The next frame; none if the other side has closed.
    pub async fn next(&mut self) -> Option<Frame> {
        let reading = async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            Some(Frame { kind: head[3], stream, payload })
        };
        timeout(Duration::from_secs(30), reading).await.expect("a frame or the end within half a minute")
    }

    /// Takes nothing and waits until the other side has closed.
    pub async fn end(&mut self) {
        while let Ok(1..) = self.0.read(&mut [0; 4096]).await {}
    }

    /// The next frame of a type; none if the other side closes before.
    pub async fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// The reason for which the other side goes away (RFC 9113, section 7); none if it just closes.
    pub async fn reason(&mut self) -> Option<u32> {
        let goaway = self.next_of(kind::GOAWAY).await?;
        Some(u32::from_be_bytes(goaway.payload.get(4..8)?.try_into().ok()?))
    }
}
