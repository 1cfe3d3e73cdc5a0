//! One connection to Redis, and what its answers say of Redis itself.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use redis::ConnectionInfo;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::resp::{self, Reply};
use super::socket::Socket;
use super::wire::Wire;

/// Longest time to connect. No delivery waits for it.
const CONNECT: Duration = Duration::from_secs(1);
/// Answers in a row that may be late before Redis is not asked any more. One may be a lost packet, or a machine that
/// paused; each costs somebody the whole patience.
const LATE: u32 = 3;

/// A connection that every command shares.
pub(super) struct Link {
    connection: Arc<Connection>,
    /// Longest wait for an answer.
    patience: Duration,
    late: Late,
}

struct Connection {
    wire: Arc<Wire>,
    _task: AbortOnDropHandle<()>,
}

/// Answers that were late, one after another, since the last one that was not.
#[derive(Default)]
struct Late {
    count: AtomicU32,
    /// When the last one that counts was found out.
    last: Mutex<Option<Instant>>,
}

/// Why a command has no result.
#[derive(Debug)]
pub(super) enum Fault {
    /// No answer in time. The command may have been obeyed nevertheless.
    Late,
    /// The connection is gone, or what is at its other end speaks something else.
    Lost,
    /// Redis answers, and will not do it; its code for why.
    Refused(String),
    /// The key holds what is no string: nothing of ours, and nobody else's fault.
    Foreign,
}

impl Link {
    pub(super) async fn connect(info: &ConnectionInfo, patience: Duration) -> Result<Self, Fault> {
        let connecting = async {
            let wire = Arc::new(Wire::new(Socket::connect(info).await.map_err(|_| Fault::Lost)?));
            let running = Arc::clone(&wire);
            let task = AbortOnDropHandle::new(tokio::spawn(async move { running.run(patience).await }));
            let connection = Arc::new(Connection { wire, _task: task });
            let link = Self { connection, patience, late: Late::default() };
            link.greet(info).await?;
            Ok(link)
        };
        timeout(CONNECT.max(patience), connecting).await.unwrap_or(Err(Fault::Late))
    }

    /// Logs in, and chooses the database.
    async fn greet(&self, info: &ConnectionInfo) -> Result<(), Fault> {
        let settings = info.redis_settings();
        if let Some(password) = settings.password() {
            let user = settings.username().map(str::as_bytes);
            let login: Vec<&[u8]> =
                [b"AUTH"].into_iter().map(|word| &word[..]).chain(user).chain([password.as_bytes()]).collect();
            self.run(&login).await?;
        }
        if settings.db() != 0 {
            self.run(&[b"SELECT", settings.db().to_string().as_bytes()]).await?;
        }
        Ok(())
    }

    /// The same connection, with nothing held against it.
    pub(super) fn again(&self) -> Self {
        Self { connection: Arc::clone(&self.connection), patience: self.patience, late: Late::default() }
    }

    /// Runs a command, and returns the string that it answers.
    pub(super) async fn run(&self, arguments: &[&[u8]]) -> Result<Option<Vec<u8>>, Fault> {
        self.run_all(1, Instant::now(), false, |out| resp::command(out, arguments)).await
    }

    /// Runs several; of their answers only the last one matters, and the first that is a fault. `sent` is now, for whoever knows
    /// it already; `alone` as [`Wire::ask`] has it.
    pub(super) async fn run_all(
        &self,
        count: usize,
        sent: Instant,
        alone: bool,
        write: impl FnOnce(&mut BytesMut),
    ) -> Result<Option<Vec<u8>>, Fault> {
        let reply = self.connection.wire.ask(count, sent, alone, write).await;
        match &reply {
            Err(Fault::Late) => self.late.add(sent, Instant::now()),
            _ => self.late.clear(),
        }
        match reply? {
            Reply::Nil => Ok(None),
            Reply::Text(text) => Ok(Some(text)),
            Reply::Error(text) => Err(Fault::of(&text)),
        }
    }

    /// True once so many answers in a row were late that the next will be too.
    pub(super) fn is_silent(&self) -> bool {
        self.late.count.load(Ordering::Relaxed) >= LATE
    }
}

impl Late {
    /// Of commands that were on their way together one counts: a single pause makes all of them late.
    fn add(&self, sent: Instant, now: Instant) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| sent > last) {
            *last = Some(now);
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn clear(&self) {
        // Read first: while all is well nobody writes here, so that the line stays in every core's cache.
        if self.count.load(Ordering::Relaxed) != 0 {
            self.count.store(0, Ordering::Relaxed);
        }
    }
}

impl Fault {
    /// Of an error's text only the code is kept: the rest may quote what was sent.
    fn of(text: &str) -> Self {
        match text.split(' ').next().unwrap_or_default() {
            "WRONGTYPE" => Self::Foreign,
            code => Self::Refused(code.to_owned()),
        }
    }

    /// For operators, after `what`.
    pub(super) fn said(&self, what: &str) -> String {
        match self {
            Self::Late => format!("{what}: no answer in time"),
            Self::Lost => format!("{what}: no connection"),
            Self::Refused(code) => format!("{what}: {code}"),
            Self::Foreign => format!("{what}: the answer is of another kind"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_counts_once_however_many_were_on_their_way() {
        let (late, begin) = (Late::default(), Instant::now());
        let at = |millis| begin + Duration::from_millis(millis);
        let after = |sent, now| {
            late.add(at(sent), at(now));
            late.count.load(Ordering::Relaxed)
        };
        assert_eq!([after(0, 250), after(1, 251), after(200, 450), after(250, 500)], [1; 4]);
        assert_eq!([after(260, 510), after(270, 520), after(511, 761)], [2, 2, 3]);
        late.clear();
        assert_eq!([after(600, 850), after(900, 1150)], [0, 1]);
    }
}
