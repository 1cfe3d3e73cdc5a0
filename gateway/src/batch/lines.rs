//! The lines of a body, as they come.

use bytes::{Bytes, BytesMut};
use hyper::body::Incoming;
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
    buffer: BytesMut,
    /// Where no end of a line is before.
    searched: usize,
    /// Bytes that came, unpacked.
    bytes: usize,
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
            buffer: BytesMut::new(),
            searched: 0,
            bytes: 0,
            skipping: false,
            longest: limits.bytes + BESIDE,
            patience: limits.time,
            until: Instant::now() + limits.time * BODIES,
            state: State::Open,
        }
    }

    /// Whether all of the body was read.
    pub(super) fn ended(&self) -> bool {
        matches!(self.state, State::Ended)
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
        let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(end) = end.map(|end| self.searched + end) else {
            self.searched = self.buffer.len();
            if self.buffer.len() > self.longest {
                self.skipping = true;
                self.buffer.clear();
                self.searched = 0;
            }
            return None;
        };
        let line = self.buffer.split_to(end + 1).freeze();
        self.searched = 0;
        let skipped = std::mem::take(&mut self.skipping) || end > self.longest;
        Some(if skipped { Err(Refusal::PayloadTooLarge) } else { Ok(line.slice(..end)) })
    }

    /// What comes after the last end of a line is one too, where the body ends with it.
    fn rest(&mut self) -> Option<Result<Bytes, Refusal>> {
        let rest = self.buffer.split().freeze();
        self.searched = 0;
        if std::mem::take(&mut self.skipping) {
            return Some(Err(Refusal::PayloadTooLarge));
        }
        (!rest.trim_ascii().is_empty()).then_some(Ok(rest))
    }

    async fn read(&mut self) -> Result<(), Refusal> {
        let until = self.until.min(Instant::now() + self.patience);
        let Some(piece) = timeout_at(until, body::data(self.body)).await.map_err(|_| Refusal::RequestTimeout)?? else {
            self.state = State::Ended;
            let rest = self.unpacker.take().map(Unpacker::end).transpose()?.unwrap_or_default();
            return self.take(&rest);
        };
        if self.unpacker.is_none() {
            return self.take(&piece);
        }
        // A little at a time: it may become a thousand times as much.
        for piece in piece.chunks(1024) {
            let unpacked = self.unpacker.as_mut().map(|unpacker| unpacker.unpack(piece)).transpose()?;
            self.take(&unpacked.unwrap_or_default())?;
        }
        Ok(())
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        // What fits is a part of the batch; the line in which the limit lies is the first that is refused for it.
        let fits = piece.len().min(MAX_BYTES - self.bytes);
        self.bytes += fits;
        self.buffer.extend_from_slice(&piece[..fits]);
        if fits < piece.len() { Err(Refusal::PayloadTooLarge) } else { Ok(()) }
    }
}
