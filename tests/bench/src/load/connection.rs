//! One connection: a request out, its answer in, one at a time.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// Room for an answer to a delivery, head included.
const ANSWER: usize = 4096;
/// Room for the answer to a line of a batch.
const LINE: usize = 512;
/// Header lines of an answer.
const HEADERS: usize = 16;

pub(super) struct Connection {
    stream: TcpStream,
    /// The request, and how much of it is still to be written.
    pub(super) out: Vec<u8>,
    left: usize,
    input: Box<[u8]>,
    filled: usize,
    /// When the request in flight was to be sent.
    pub(super) since: Option<Instant>,
}

impl Connection {
    /// Connects and waits for it.
    pub(super) fn open(server: SocketAddr, registry: &Registry, token: Token, lines: u64) -> Result<Self> {
        let stream = std::net::TcpStream::connect(server).with_context(|| format!("connecting to {server}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            out: Vec::new(),
            left: 0,
            input: vec![0; ANSWER + lines as usize * LINE].into(),
            filled: 0,
            since: None,
        })
    }

    /// Sends what is in `out`.
    pub(super) fn send(&mut self, since: Instant) -> Result<()> {
        self.since = Some(since);
        self.left = self.out.len();
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        while self.left > 0 {
            match self.stream.write(&self.out[self.out.len() - self.left..]) {
                Ok(0) => bail!("the server takes nothing more"),
                Ok(count) => self.left -= count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("sending"),
            }
        }
        Ok(())
    }

    /// Goes on after an event. Returns since when the request was in flight whose answer is complete now.
    pub(super) fn proceed(&mut self, expect: u16) -> Result<Option<Instant>> {
        self.flush()?;
        let Some(since) = self.since else { return Ok(None) };
        loop {
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => bail!("the server has closed the connection"),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error).context("receiving"),
            }
            if self.is_complete(expect)? {
                self.filled = 0;
                self.since = None;
                return Ok(Some(since));
            }
        }
    }

    fn is_complete(&self, expect: u16) -> Result<bool> {
        let input = &self.input[..self.filled];
        let Some(Answer { status, length }) = Answer::read(input)? else { return Ok(false) };
        ensure!(length <= self.input.len(), "an answer of {length} bytes");
        if status != expect {
            bail!("not answered {expect}: {}", String::from_utf8_lossy(input));
        }
        ensure!(self.filled <= length, "more was answered than was asked");
        Ok(self.filled == length)
    }
}

/// What the head of an answer says.
#[derive(PartialEq, Eq, Debug)]
struct Answer {
    status: u16,
    /// Of head and body.
    length: usize,
}

impl Answer {
    /// None before the head is complete.
    fn read(input: &[u8]) -> Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = answer.parse(input)? else { return Ok(None) };
        let length = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let length: usize = match length {
            Some(header) => std::str::from_utf8(header.value)?.parse()?,
            // Chunks would need more of a parser, and nobody here sends them.
            None => bail!("an answer without a length: {}", String::from_utf8_lossy(input)),
        };
        Ok(answer.code.map(|status| Self { status, length: head + length }))
    }
}

/// Asks once and returns the status, on a connection of its own. Blocks.
pub(crate) fn ask(server: SocketAddr, request: &[u8]) -> Result<u16> {
    let mut stream = std::net::TcpStream::connect(server).with_context(|| format!("connecting to {server}"))?;
    stream.write_all(request)?;
    let (mut input, mut filled) = ([0; ANSWER], 0);
    loop {
        match stream.read(&mut input[filled..])? {
            0 => bail!("no answer"),
            count => filled += count,
        }
        if let Some(answer) = Answer::read(&input[..filled])? {
            return Ok(answer.status);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_its_head_says() -> Result<()> {
        let head = "HTTP/1.1 202 Accepted\r\nDate: today\r\nContent-Length: 2\r\n\r\n";
        let answer = Some(Answer { status: 202, length: head.len() + 2 });
        assert_eq!(Answer::read(head.as_bytes())?, answer);
        assert_eq!(Answer::read(format!("{head}{{}}").as_bytes())?, answer);
        assert_eq!(Answer::read(&head.as_bytes()[..head.len() - 1])?, None);
        assert!(Answer::read(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        Ok(())
    }
}
