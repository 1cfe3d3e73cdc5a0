//! One connection, and how long an answer takes on it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

pub(crate) struct Connection {
    stream: TcpStream,
    buffer: [u8; 4096],
}

impl Connection {
    pub(crate) fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("connects");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, buffer: [0; 4096] }
    }

    /// Nanoseconds from the request to the end of its answer, which is checked.
    pub(crate) fn time(&mut self, request: &[u8], status: u16) -> u64 {
        let begun = Instant::now();
        let answer = self.exchange(request);
        let time = begun.elapsed();
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(expected.as_bytes()), "{}", String::from_utf8_lossy(answer));
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The answer to a request; a refusal's body ends with a brace.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).expect("sent");
        let mut length = 0;
        while !self.buffer[..length].ends_with(b"}") {
            match self.stream.read(&mut self.buffer[length..]).expect("an answer") {
                0 => panic!("closed: {}", String::from_utf8_lossy(&self.buffer[..length])),
                read => length += read,
            }
        }
        &self.buffer[..length]
    }
}
