//! Group commit of commands: what is asked in the same moment, or while Redis is busy with others, goes out together, in one
//! write, and is answered in one read.
//!
//! ```text
//!  command ──▶ out ──▶ written, while fewer than BATCHES are unanswered ──▶ socket
//!     ▲                                                                       │
//!     └───────── reply, lateness or loss ◀──────── read ◀─────────────────────┘
//! ```
//!
//! One task writes and reads. The first command of a moment wakes it. Where there is one thread, it has its turn when the tasks
//! that were ready before have had theirs, and have asked too; where there are several, it runs next on the one that woke it, and
//! others ask meanwhile. So a gateway with one delivery at hand loses next to nothing, and a busy one pays for a system call, and
//! Redis for waking up, once for many.

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
    /// There is something to write.
    due: Notify,
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
    /// [`Wire::due`] was told, and `out` has not been looked at since.
    due: bool,
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
        Self { socket, state: Mutex::default(), due: Notify::new() }
    }

    /// Sends what `write` writes, which has so many replies, and returns the last one, or the first that is an error. `since`
    /// is now: from then on it can be late.
    pub(super) async fn ask(
        &self,
        replies: usize,
        since: Instant,
        write: impl FnOnce(&mut BytesMut),
    ) -> Result<Reply, Fault> {
        let (told, reply) = oneshot::channel();
        {
            let mut state = self.state();
            if state.closed {
                return Err(Fault::Lost);
            }
            write(&mut state.out);
            state.asked += replies as u64;
            state.waiting.push_back(Waiting { told: Some(told), replies, error: None, since });
            // Where enough is unanswered, the next answer lets it go.
            if !state.due && state.ends.len() < BATCHES {
                state.due = true;
                self.due.notify_one();
            }
        }
        // Without a word only where the connection has ended.
        reply.await.unwrap_or(Err(Fault::Lost))
    }

    /// Writes commands and reads replies, until the connection ends or is not to be trusted. Whoever still waits then is told
    /// that it is lost. However it ends, cut short included: nobody else would tell them.
    pub(super) async fn run(&self, patience: Duration) {
        let _closing = Closing(self);
        _ = self.keep_going(patience).await;
    }

    async fn keep_going(&self, patience: Duration) -> io::Result<()> {
        let mut input = BytesMut::with_capacity(INPUT);
        // What the socket has yet to take of a batch.
        let mut batch = BytesMut::new();
        // Whoever comes after a look can be late no earlier than that.
        let mut look = pin!(sleep(patience));
        loop {
            tokio::select! {
                biased;
                come = self.socket.readable() => come?,
                () = self.due.notified() => {}
                room = self.socket.writable(), if !batch.is_empty() => room?,
                () = &mut look => look.as_mut().reset(self.tell_late(patience).into()),
            }
            input.reserve(INPUT / 2);
            match self.socket.try_read(&mut input) {
                Ok(0) => return Ok(()),
                Ok(_) => self.take(&mut input, &mut batch)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.write(&mut batch)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells replies to those who wait for them, and lets the next batch go.
    fn take(&self, input: &mut BytesMut, batch: &mut BytesMut) -> io::Result<()> {
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
        drop(state);
        input.advance(at);
        // First: Redis works on it while the others are told. An error is met again, when all that has come is read.
        _ = self.write(batch);
        told.into_iter().for_each(|(told, reply)| drop(told.send(Ok(reply))));
        Ok(())
    }

    /// Tells those that have waited for too long, and returns when to look again.
    fn tell_late(&self, patience: Duration) -> Instant {
        let now = Instant::now();
        let mut state = self.state();
        for waiting in &mut state.waiting {
            // Those behind it have waited for less, but for the moment that a thread may take from its clock to our lock.
            if now.saturating_duration_since(waiting.since) < patience {
                return waiting.since + patience;
            }
            _ = waiting.told.take().map(|told| told.send(Err(Fault::Late)));
        }
        now + patience
    }

    /// Writes what there is, for as long as the socket has room, unless Redis has enough to do.
    fn write(&self, batch: &mut BytesMut) -> io::Result<()> {
        loop {
            if batch.is_empty() {
                // Let go of, so that `out` can use its memory again.
                *batch = BytesMut::new();
                let mut state = self.state();
                state.due = false;
                if state.out.is_empty() || state.ends.len() >= BATCHES {
                    return Ok(());
                }
                let end = state.asked;
                state.ends.push_back(end);
                *batch = state.out.split();
            }
            match self.socket.try_write(batch) {
                Ok(count) => batch.advance(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
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
    use std::time::{Duration, Instant};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;
    use tokio_util::task::AbortOnDropHandle;

    use super::{Fault, INPUT, Reply, Socket, Wire};

    /// Longest wait for what is to come at once.
    const SOON: Duration = Duration::from_secs(10);

    /// A wire, its task, and the other end.
    fn wire() -> (Arc<Wire>, AbortOnDropHandle<()>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let wire = Arc::new(Wire::new(Socket::Unix(ours)));
        let running = Arc::clone(&wire);
        let task = AbortOnDropHandle::new(tokio::spawn(async move { running.run(Duration::from_secs(60)).await }));
        (wire, task, theirs)
    }

    fn ask(wire: &Arc<Wire>, command: &[u8]) -> JoinHandle<Result<Reply, Fault>> {
        let (wire, command) = (Arc::clone(wire), command.to_vec());
        tokio::spawn(async move { wire.ask(1, Instant::now(), |out| out.extend_from_slice(&command)).await })
    }

    /// What the other end is asked next.
    async fn asked(theirs: &mut UnixStream, length: usize) -> Vec<u8> {
        let mut commands = vec![0; length];
        timeout(SOON, theirs.read_exact(&mut commands)).await.expect("in time").expect("the commands");
        commands
    }

    async fn told(asked: JoinHandle<Result<Reply, Fault>>) -> Result<Reply, Fault> {
        timeout(SOON, asked).await.expect("in time").expect("no panic")
    }

    fn is_text(told: &Result<Reply, Fault>, expected: &[u8]) -> bool {
        matches!(told, Ok(Reply::Text(text)) if text == expected)
    }

    /// Until so many wait for replies.
    async fn waiting(wire: &Wire, count: usize) {
        let all = async {
            while wire.state().waiting.len() < count {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, all).await.expect("in time");
    }

    #[tokio::test]
    async fn a_task_that_is_cut_short_leaves_nobody_waiting() {
        let (wire, task, _silent) = wire();
        let asked = ask(&wire, b"PING\r\n");
        waiting(&wire, 1).await;
        drop(task);
        let told = told(asked).await;
        assert!(matches!(told, Err(Fault::Lost)), "{told:?}");
        assert!(matches!(wire.ask(1, Instant::now(), |_| ()).await, Err(Fault::Lost)));
    }

    #[tokio::test]
    async fn what_is_asked_in_one_moment_is_one_batch() {
        let (wire, _task, mut theirs) = wire();
        tokio::task::yield_now().await;
        let all = [(); 3].map(|()| ask(&wire, b"PING\r\n"));
        asked(&mut theirs, 18).await;
        assert_eq!(wire.state().ends, [3]);
        theirs.write_all(b"+1\r\n+2\r\n+3\r\n").await.expect("the replies");
        for (asked, text) in all.into_iter().zip(["1", "2", "3"]) {
            let told = told(asked).await;
            assert!(is_text(&told, text.as_bytes()), "{told:?}");
        }
    }

    #[tokio::test]
    async fn what_has_come_is_told_where_nothing_can_be_written_any_more() {
        let (wire, _task, mut theirs) = wire();
        let first = ask(&wire, b"1");
        asked(&mut theirs, 1).await;
        let second = ask(&wire, b"2");
        asked(&mut theirs, 1).await;
        let third = ask(&wire, b"3");
        waiting(&wire, 3).await;
        // The first reply lets the third command go; the second one takes several reads.
        let long = vec![b'x'; 4 * INPUT];
        let replies = [format!("+1\r\n${}\r\n", long.len()).as_bytes(), &long, b"\r\n"].concat();
        theirs.write_all(&replies).await.expect("the replies");
        drop(theirs);
        let [first, second, third] = [told(first).await, told(second).await, told(third).await];
        assert!(is_text(&first, b"1"), "{first:?}");
        assert!(is_text(&second, &long), "{:?}", second.err());
        assert!(matches!(third, Err(Fault::Lost)), "{third:?}");
    }

    #[tokio::test]
    async fn what_is_asked_while_a_batch_is_half_written_follows_it() {
        let (wire, _task, mut theirs) = wire();
        // More than any socket has room for.
        let long: Vec<u8> = (0..4_u32 << 20).map(|index| index.to_le_bytes()[0]).collect();
        let first = ask(&wire, &long);
        let begun = asked(&mut theirs, 1).await;
        let second = ask(&wire, b"next");
        waiting(&wire, 2).await;
        assert_eq!(wire.state().ends, [1], "the socket has no room for the next one yet");
        let rest = asked(&mut theirs, long.len() + 3).await;
        assert!([&begun[..], &rest].concat() == [&long[..], b"next"].concat());
        assert_eq!(wire.state().ends, [1, 2]);
        theirs.write_all(b"+1\r\n+2\r\n").await.expect("the replies");
        let [first, second] = [told(first).await, told(second).await];
        assert!(is_text(&first, b"1") && is_text(&second, b"2"), "{first:?}, {second:?}");
    }
}
