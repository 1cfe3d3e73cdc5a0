//! The lines of a body, as they come.

use bytes::{Buf, Bytes, BytesMut};
use hyper::body::Incoming;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::MAX_BYTES;
use crate::refusal::Refusal;
use crate::request::body::{self, Limits};
use crate::request::encoding::{Encoding, Unpacker};

/// What a line may have beside its payload: a key all of whose characters are escaped, two slugs, and their names.
const BESIDE: usize = 2048;

/// Reads lines. Safe to be dropped while it waits for the next one.
pub(super) struct Lines<'a> {
    body: &'a mut Incoming,
    unpacker: Option<Unpacker>,
    /// What has come and is not unpacked yet.
    left: Bytes,
    buffer: BytesMut,
    /// Where no end of a line is before.
    searched: usize,
    /// Bytes that came, unpacked, and as they came.
    bytes: usize,
    packed: usize,
    /// Those of them before the line that comes next.
    before: usize,
    /// The line that comes is too long, and what of it has come is gone.
    skipping: bool,
    longest: usize,
    /// Silence that is borne, and how long the whole may take.
    patience: std::time::Duration,
    until: Instant,
    state: State,
}

enum State {
    Open,
    /// All of it was read.
    Ended,
    /// No more of it is read, and the next line is refused for that; none once it was.
    GivenUp(Option<Refusal>),
}

/// A batch may take as long as so many bodies.
const BODIES: u32 = 6;

impl<'a> Lines<'a> {
    pub(super) fn new(body: &'a mut Incoming, encoding: Encoding, limits: Limits) -> Self {
        Self {
            body,
            unpacker: encoding.unpacker(),
            left: Bytes::new(),
            buffer: BytesMut::new(),
            searched: 0,
            bytes: 0,
            packed: 0,
            before: 0,
            skipping: false,
            longest: limits.bytes + BESIDE,
            patience: limits.time,
            until: Instant::now() + limits.time * BODIES,
            state: State::Open,
        }
    }

    /// Whether all of the body was read, and no more than a batch may have.
    pub(super) fn whole(&self) -> bool {
        matches!(self.state, State::Ended) && self.bytes <= MAX_BYTES
    }

    /// The next line that is not blank, or why there is none: then it is refused alone, and where it was the last that is read,
    /// the others are not answered.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Refusal>> {
        loop {
            if let Some(line) = self.buffered() {
                if line.as_ref().is_ok_and(|line| line.trim_ascii().is_empty()) {
                    continue;
                }
                return Some(line);
            }
            match &mut self.state {
                State::Open => {}
                State::Ended => return self.rest(),
                State::GivenUp(refusal) => return refusal.take().map(Err),
            }
            if let Err(refusal) = self.read().await {
                self.state = State::GivenUp(Some(refusal));
            }
        }
    }

    /// A line that has come whole.
    fn buffered(&mut self) -> Option<Result<Bytes, Refusal>> {
        if self.searched == 0 && !self.skipping {
            // Blank lines, and what is blank before a line.
            let blank = self.buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.buffer.advance(blank);
            self.before += blank;
        }
        let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(end) = end.map(|end| self.searched + end) else {
            self.searched = self.buffer.len();
            if self.buffer.len() > self.longest {
                self.skipping = true;
                self.before += self.buffer.len();
                self.buffer.clear();
                self.searched = 0;
            }
            return None;
        };
        let line = self.buffer.split_to(end + 1).freeze();
        self.searched = 0;
        let judged = self.judged(line.slice(..end));
        self.before += line.len();
        Some(judged)
    }

    /// A line, unless it is too long, or does not end within what a batch may have.
    fn judged(&mut self, line: Bytes) -> Result<Bytes, Refusal> {
        let skipped = std::mem::take(&mut self.skipping);
        let blank = !skipped && line.trim_ascii().is_empty();
        let fits = !skipped && line.len() <= self.longest && self.before + line.len() <= MAX_BYTES;
        if blank || fits { Ok(line) } else { Err(Refusal::PayloadTooLarge) }
    }

    /// What comes after the last end of a line is one too, where the body ends with it.
    fn rest(&mut self) -> Option<Result<Bytes, Refusal>> {
        let rest = self.buffer.split().freeze();
        self.searched = 0;
        if rest.trim_ascii().is_empty() && !self.skipping {
            return None;
        }
        Some(self.judged(rest))
    }

    async fn read(&mut self) -> Result<(), Refusal> {
        if !self.left.is_empty() {
            self.unpack()?;
            // Others are answered on this thread.
            yield_now().await;
            return Ok(());
        }
        let until = self.until.min(Instant::now() + self.patience);
        let piece = timeout_at(until, body::data(self.body)).await.map_err(|_| Refusal::RequestTimeout)??;
        let Some(piece) = piece else {
            let rest = self.unpacker.take().map(Unpacker::end).transpose()?.unwrap_or_default();
            self.state = State::Ended;
            return self.take(&rest);
        };
        self.packed += piece.len();
        if self.unpacker.is_none() {
            return self.take(&piece);
        }
        self.left = piece;
        Ok(())
    }

    /// A little of what has come: it may become a thousand times as much.
    fn unpack(&mut self) -> Result<(), Refusal> {
        let piece = self.left.split_to(self.left.len().min(256));
        let unpacked = self.unpacker.as_mut().map(|unpacker| unpacker.unpack(&piece)).transpose()?;
        self.take(&unpacked.unwrap_or_default())?;
        // What grows when it is packed is no more than its frame; files of nothing, one after the other, are more work than body.
        if self.packed - self.left.len() > 64 * 1024 + 2 * self.bytes { Err(Refusal::InvalidGzip) } else { Ok(()) }
    }

    /// Twice what a batch may have is read, so that each line past the limit is answered, and then no more.
    fn take(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        self.bytes += piece.len();
        self.buffer.extend_from_slice(piece);
        if self.bytes.max(self.packed) > 2 * MAX_BYTES { Err(Refusal::PayloadTooLarge) } else { Ok(()) }
    }
}
