//! Group commit of commands: what arrives while Redis is busy with others goes out together, in one write, and is answered in
//! one read. Whoever finds the wire idle writes at once, on its own task; so an idle gateway adds no latency, and a busy one
//! pays for a system call, here and there, once for many.
//!
//! ```text
//!  command ──▶ out ──▶ at once, while fewer than BATCHES are unanswered ──▶ socket
//!     ▲         └────▶ by the reader, when a batch is answered ───────────────▲
//!     └──────────────── reply, lateness or loss ◀── reader ◀──────────────────┘
//! ```

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;

use super::link::Fault;
use super::resp::{self, Reply};
use super::socket::Socket;

/// Batches that may be unanswered at a time. With one, Redis would wait for us between two of them.
const BATCHES: usize = 2;
/// Room for replies that come together.
const INPUT: usize = 16 << 10;

pub(super) struct Wire {
    socket: Socket,
    state: Mutex<State>,
    /// The reader is to finish a write that the socket had no room for.
    unfinished: Notify,
}

#[derive(Default)]
struct State {
    /// Commands to be written.
    out: BytesMut,
    /// How many replies they all, and those before them, will have.
    asked: u64,
    answered: u64,
    /// Where unanswered batches end, in replies.
    ends: VecDeque<u64>,
    /// Somebody is writing; where the socket had no room, the rest of it.
    writing: bool,
    rest: BytesMut,
    waiting: VecDeque<Waiting>,
    closed: bool,
}

/// Who waits for replies.
struct Waiting {
    /// Taken when it is late; its replies still come.
    told: Option<oneshot::Sender<Result<Reply, Fault>>>,
    /// Replies before it is told the last one, or the first that is an error.
    replies: usize,
    error: Option<Reply>,
    since: Instant,
}

impl Wire {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, state: Mutex::default(), unfinished: Notify::new() }
    }

    /// Sends what `write` writes, which has so many replies, and returns the last one, or the first that is an error.
    pub(super) async fn ask(&self, replies: usize, write: impl FnOnce(&mut BytesMut)) -> Result<Reply, Fault> {
        let (told, reply) = oneshot::channel();
        {
            let mut state = self.state();
            if state.closed {
                return Err(Fault::Lost);
            }
            write(&mut state.out);
            state.asked += replies as u64;
            state.waiting.push_back(Waiting { told: Some(told), replies, error: None, since: Instant::now() });
            self.flush(state);
        }
        // Without a word only where the reader is gone.
        reply.await.unwrap_or(Err(Fault::Lost))
    }

    /// Reads replies, until the connection ends or is not to be trusted. Whoever still waits then is told that it is lost.
    /// However it ends, cut short included: nobody else would tell them.
    pub(super) async fn read(&self, patience: Duration) {
        let _closing = Closing(self);
        _ = self.keep_reading(patience).await;
    }

    async fn keep_reading(&self, patience: Duration) -> io::Result<()> {
        let mut input = BytesMut::with_capacity(INPUT);
        // Whoever comes after a look can be late no earlier than that.
        let mut look = pin!(sleep(patience));
        let mut unfinished = false;
        loop {
            tokio::select! {
                biased;
                come = self.socket.readable() => come?,
                () = self.unfinished.notified() => unfinished = true,
                room = self.socket.writable(), if unfinished => room?,
                () = &mut look => look.as_mut().reset(self.tell_late(patience).into()),
            }
            if unfinished {
                unfinished = self.go_on_writing()?;
            }
            input.reserve(INPUT / 2);
            match self.socket.try_read(&mut input) {
                Ok(0) => return Ok(()),
                Ok(_) => self.take(&mut input)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells replies to those who wait for them, and lets the next batch go.
    fn take(&self, input: &mut BytesMut) -> io::Result<()> {
        let mut told = Vec::with_capacity(64);
        let mut at = 0;
        let mut state = self.state();
        while let Some((reply, length)) = resp::reply(&input[at..]).map_err(|_| ErrorKind::InvalidData)? {
            at += length;
            // Nobody asked.
            let Some(first) = state.waiting.front_mut() else { return Err(ErrorKind::InvalidData.into()) };
            first.replies -= 1;
            let last = first.replies == 0;
            if matches!(reply, Reply::Error(_)) && first.error.is_none() && !last {
                first.error = Some(reply);
            } else if last && let Some(first) = state.waiting.pop_front() {
                told.extend(first.told.map(|told| (told, first.error.unwrap_or(reply))));
            }
            state.answered += 1;
        }
        while state.ends.front().is_some_and(|end| *end <= state.answered) {
            state.ends.pop_front();
        }
        self.flush(state);
        input.advance(at);
        told.into_iter().for_each(|(told, reply)| drop(told.send(Ok(reply))));
        Ok(())
    }

    /// Tells those that have waited for too long, and returns when to look again.
    fn tell_late(&self, patience: Duration) -> Instant {
        let now = Instant::now();
        let mut state = self.state();
        for waiting in &mut state.waiting {
            if now.saturating_duration_since(waiting.since) < patience {
                return waiting.since + patience;
            }
            _ = waiting.told.take().map(|told| told.send(Err(Fault::Late)));
        }
        now + patience
    }

    /// Writes what there is, unless somebody does or Redis has enough to do.
    fn flush<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        while !state.writing && !state.out.is_empty() && state.ends.len() < BATCHES {
            let (end, mut batch) = (state.asked, state.out.split());
            state.ends.push_back(end);
            state.writing = true;
            // Others go on adding meanwhile: the kernel delivers on loopback within the call.
            drop(state);
            let written = self.socket.try_write(&batch);
            state = self.state();
            match written {
                Ok(count) if count == batch.len() => state.writing = false,
                // No room, or an error: the reader waits for the one and meets the other.
                other => {
                    batch.advance(other.unwrap_or_default());
                    state.rest = batch;
                    self.unfinished.notify_one();
                }
            }
        }
    }

    /// Goes on with what the socket had no room for. True if it still has none.
    fn go_on_writing(&self) -> io::Result<bool> {
        let mut state = self.state();
        while !state.rest.is_empty() {
            match self.socket.try_write(&state.rest) {
                Ok(count) => state.rest.advance(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        state.writing = false;
        self.flush(state);
        Ok(false)
    }

    fn close(&self) {
        let waiting = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().filter_map(|waiting| waiting.told).for_each(|told| drop(told.send(Err(Fault::Lost))));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Never left half changed by a panic: nothing in between can.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Closing<'a>(&'a Wire);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::net::UnixStream;
    use tokio::time::timeout;

    use super::{Fault, Socket, Wire};

    #[tokio::test]
    async fn a_reader_that_is_cut_short_leaves_nobody_waiting() {
        let (ours, _silent) = UnixStream::pair().expect("a pair of sockets");
        let wire = Arc::new(Wire::new(Socket::Unix(ours)));
        let [reading, asking] = [Arc::clone(&wire), Arc::clone(&wire)];
        let reader = tokio::spawn(async move { reading.read(Duration::from_secs(60)).await });
        let asker = tokio::spawn(async move { asking.ask(1, |out| out.extend_from_slice(b"PING\r\n")).await });
        while wire.state().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        reader.abort();
        let told = timeout(Duration::from_secs(10), asker).await.expect("told").expect("no panic");
        assert!(matches!(told, Err(Fault::Lost)), "{told:?}");
        assert!(matches!(wire.ask(1, |_| ()).await, Err(Fault::Lost)));
    }
}
