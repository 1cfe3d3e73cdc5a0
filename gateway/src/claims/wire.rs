//! Group commit of commands: what is asked in the same moment, or while Redis is busy with others, goes out together, in one
//! write, and is answered in one read.
//!
//! ```text
//!  command ──▶ out ──▶ written, while fewer than BATCHES are unanswered ──▶ socket
//!     ▲                                                                       │
//!     └───────── reply, lateness or loss ◀──────── read ◀─────────────────────┘
//! ```
//!
//! One task writes and reads. The first command of a moment wakes it, and it has its turn after the tasks that were ready before,
//! which have asked too. So a busy gateway pays for a system call, and Redis for waking up, once for many. Who asks alone, most
//! likely, writes it too.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Notify, oneshot};
use tokio::task::yield_now;
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
    /// Of the replies to the first who waits, the first that is an error.
    error: Option<Reply>,
    closed: bool,
}

/// Who waits for replies.
struct Waiting {
    /// Taken when it is late; its replies still come.
    told: Option<oneshot::Sender<Result<Reply, Fault>>>,
    /// Replies before it is told the last one, or the first that is an error.
    replies: usize,
    since: Instant,
}

impl Wire {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, state: Mutex::default(), due: Notify::new() }
    }

    /// Sends what `write` writes, which has so many replies, and returns the last one, or the first that is an error. `since`
    /// is now: from then on it can be late. `alone` is a guess that nobody else is about to ask; wrong, it costs a system call.
    pub(super) async fn ask(
        &self,
        replies: usize,
        since: Instant,
        alone: bool,
        write: impl FnOnce(&mut BytesMut),
    ) -> Result<Reply, Fault> {
        let (told, reply) = oneshot::channel();
        {
            let mut guard = self.state();
            let state = &mut *guard;
            if state.closed {
                return Err(Fault::Lost);
            }
            // Then nothing is half written either: what is not all written is not answered.
            let at_once = alone && state.ends.is_empty() && state.out.is_empty();
            write(&mut state.out);
            state.asked += replies as u64;
            state.waiting.push_back(Waiting { told: Some(told), replies, since });
            // What it does not take is left to the task, and so is an error. Under the lock, so that the next one comes after it.
            if at_once && let Ok(count) = self.socket.try_write(&state.out) {
                state.out.advance(count);
            }
            if at_once && state.out.is_empty() {
                state.ends.push_back(state.asked);
            } else if !state.due && state.ends.len() < BATCHES {
                // Where enough is unanswered, the next answer lets it go.
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
        let mut told = Vec::new();
        // Whoever comes after a look can be late no earlier than that.
        let mut look = pin!(sleep(patience));
        let several = Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread;
        loop {
            tokio::select! {
                biased;
                come = self.socket.readable() => come?,
                () = self.due.notified() => {
                    // There it has been woken to run next. So it waits until its thread has nothing else to run, or, by tokio's
                    // `event_interval`, has run 61 tasks.
                    if several {
                        yield_now().await;
                    }
                }
                room = self.socket.writable(), if !batch.is_empty() => room?,
                () = &mut look => look.as_mut().reset(self.tell_late(patience).into()),
            }
            input.reserve(INPUT / 2);
            match self.socket.try_read(&mut input) {
                Ok(0) => return Ok(()),
                Ok(_) => self.take(&mut input, &mut batch, &mut told)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.write(&mut batch)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells replies to those who wait for them, and lets the next batch go. `told` is empty, and for its memory only.
    fn take(&self, input: &mut BytesMut, batch: &mut BytesMut, told: &mut Vec<Told>) -> io::Result<()> {
        let mut at = 0;
        let mut guard = self.state();
        let state = &mut *guard;
        while let Some((reply, length)) = resp::reply(&input[at..]).map_err(|_| ErrorKind::InvalidData)? {
            at += length;
            // Nobody asked.
            let Some(first) = state.waiting.front_mut() else { return Err(ErrorKind::InvalidData.into()) };
            first.replies -= 1;
            if first.replies == 0 {
                let reply = state.error.take().unwrap_or(reply);
                told.extend(state.waiting.pop_front().and_then(|first| first.told).map(|told| (told, reply)));
            } else if state.error.is_none() && matches!(reply, Reply::Error(_)) {
                state.error = Some(reply);
            }
            state.answered += 1;
        }
        while state.ends.front().is_some_and(|end| *end <= state.answered) {
            state.ends.pop_front();
        }
        if state.ends.is_empty() && !batch.is_empty() {
            // Answered before it was asked: that is no Redis.
            return Err(ErrorKind::InvalidData.into());
        }
        drop(guard);
        input.advance(at);
        // First: Redis works on it while the others are told. An error is met again, when all that has come is read.
        _ = self.write(batch);
        told.drain(..).for_each(|(told, reply)| drop(told.send(Ok(reply))));
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

/// Who waits, and what it is told.
type Told = (oneshot::Sender<Result<Reply, Fault>>, Reply);

struct Closing<'a>(&'a Wire);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;
    use tokio_util::task::AbortOnDropHandle;

    use super::{Fault, INPUT, Reply, Socket, Wire, yield_now};

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
        tokio::spawn(async move { wire.ask(1, Instant::now(), false, |out| out.extend_from_slice(&command)).await })
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

    /// Whether the task is woken, where unanswered batches end, and how much is to be written.
    fn written(wire: &Wire) -> (bool, Vec<u64>, usize) {
        let state = wire.state();
        (state.due, state.ends.iter().copied().collect(), state.out.len())
    }

    /// Until so many wait for replies.
    async fn waiting(wire: &Wire, count: usize) {
        let all = async {
            while wire.state().waiting.len() < count {
                yield_now().await;
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
        assert!(matches!(wire.ask(1, Instant::now(), false, |_| ()).await, Err(Fault::Lost)));
    }

    #[tokio::test]
    async fn what_is_asked_in_one_moment_is_one_batch() {
        let (wire, _task, mut theirs) = wire();
        yield_now().await;
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

    #[tokio::test]
    async fn who_is_alone_writes_unless_others_come_first() {
        let (wire, _task, mut theirs) = wire();
        let alone = |command: &'static [u8]| wire.ask(1, Instant::now(), true, |out| out.extend_from_slice(command));
        let mut first = pin!(alone(b"1"));
        assert!(first.as_mut().now_or_never().is_none());
        // Already: its task has had no turn.
        assert_eq!(written(&wire), (false, vec![1], 0));
        let mut second = pin!(alone(b"2"));
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(written(&wire), (true, vec![1], 1), "one is unanswered");
        let mut third = pin!(alone(b"3"));
        assert!(third.as_mut().now_or_never().is_none());
        assert_eq!(asked(&mut theirs, 3).await, b"123");
        assert_eq!(wire.state().ends, [1, 3]);
        theirs.write_all(b"+1\r\n+2\r\n+3\r\n").await.expect("the replies");
        let told = timeout(SOON, async { (first.await, second.await, third.await) }).await.expect("in time");
        assert!(is_text(&told.0, b"1") && is_text(&told.1, b"2") && is_text(&told.2, b"3"), "{told:?}");
    }

    #[tokio::test]
    async fn what_the_socket_does_not_take_of_one_alone_is_left_to_the_task() {
        let (wire, _task, mut theirs) = wire();
        // More than any socket has room for.
        let long: Vec<u8> = (0..4_u32 << 20).map(|index| index.to_le_bytes()[0]).collect();
        let mut first = pin!(wire.ask(1, Instant::now(), true, |out| out.extend_from_slice(&long)));
        assert!(first.as_mut().now_or_never().is_none());
        let (due, ends, left) = written(&wire);
        assert!(due && ends.is_empty() && (1..long.len()).contains(&left), "{due} {ends:?} {left}");
        let second = ask(&wire, b"next");
        let both = asked(&mut theirs, long.len() + 4).await;
        assert!(both == [&long[..], b"next"].concat());
        theirs.write_all(b"+1\r\n+2\r\n").await.expect("the replies");
        let (first, second) = (timeout(SOON, first).await.expect("in time"), told(second).await);
        assert!(is_text(&first, b"1") && is_text(&second, b"2"), "{first:?}, {second:?}");
    }

    #[tokio::test]
    async fn who_answers_what_is_half_asked_is_not_trusted() {
        let (wire, _task, mut theirs) = wire();
        // More than any socket has room for.
        let first = ask(&wire, &vec![b'1'; 4 << 20]);
        asked(&mut theirs, 1).await;
        theirs.write_all(b"+1\r\n").await.expect("the reply");
        let told = told(first).await;
        assert!(matches!(told, Err(Fault::Lost)), "{told:?}");
        assert!(matches!(wire.ask(1, Instant::now(), true, |_| ()).await, Err(Fault::Lost)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_is_asked_in_one_moment_is_one_batch_with_several_threads_too() {
        let (wire, _task, mut theirs) = wire();
        // On a thread of the runtime: this one is none.
        let all = tokio::spawn(async move { [(); 3].map(|()| ask(&wire, b"PING\r\n")) });
        let all = timeout(SOON, all).await.expect("in time").expect("no panic");
        let mut at_once = [0; 64];
        let length = timeout(SOON, theirs.read(&mut at_once)).await.expect("in time").expect("the commands");
        assert_eq!(at_once[..length], *b"PING\r\n".repeat(3));
        theirs.write_all(&b"+PONG\r\n".repeat(3)).await.expect("the replies");
        for asked in all {
            let told = told(asked).await;
            assert!(is_text(&told, b"PONG"), "{told:?}");
        }
    }

    #[tokio::test]
    async fn of_several_replies_the_first_error_is_told() {
        let (wire, _task, mut theirs) = wire();
        let mut three = pin!(wire.ask(3, Instant::now(), false, |out| out.extend_from_slice(b"3")));
        let mut one = pin!(wire.ask(1, Instant::now(), false, |out| out.extend_from_slice(b"1")));
        assert!(three.as_mut().now_or_never().is_none() && one.as_mut().now_or_never().is_none());
        asked(&mut theirs, 2).await;
        theirs.write_all(b"-FIRST\r\n-SECOND\r\n+3\r\n+4\r\n").await.expect("the replies");
        let told = timeout(SOON, async { (three.await, one.await) }).await.expect("in time");
        assert!(matches!(&told.0, Ok(Reply::Error(text)) if text == "FIRST"), "{told:?}");
        assert!(is_text(&told.1, b"4"), "the error is not told twice: {told:?}");
    }
}
