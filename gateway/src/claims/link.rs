//! One connection to Redis, and what its answers say of Redis itself.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisError, RedisResult};
use tokio::time::timeout;

/// Longest time to connect. No delivery waits for it.
const CONNECT: Duration = Duration::from_secs(1);
/// Answers in a row that may be late before Redis is not asked any more. One may be a lost packet, or a machine that
/// paused; each costs somebody the whole patience.
const LATE: u32 = 3;

/// A connection that every command shares.
pub(super) struct Link {
    connection: MultiplexedConnection,
    /// Longest wait for an answer.
    patience: Duration,
    late: Late,
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
    pub(super) async fn connect(client: &Client, patience: Duration) -> Result<Self, Fault> {
        // Both are bounded here, by one timer each.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        match timeout(CONNECT.max(patience), connecting).await {
            Ok(Ok(connection)) => Ok(Self { connection, patience, late: Late::default() }),
            Ok(Err(error)) => Err(Fault::of(error)),
            Err(_) => Err(Fault::Late),
        }
    }

    /// The same connection, with nothing held against it.
    pub(super) fn again(&self) -> Self {
        Self { connection: self.connection.clone(), patience: self.patience, late: Late::default() }
    }

    /// Runs a command.
    pub(super) async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Fault> {
        self.answer(command.query_async(&mut self.connection.clone())).await
    }

    /// Runs several; their answers do not matter.
    pub(super) async fn run_all(&self, pipeline: &Pipeline) -> Result<(), Fault> {
        self.answer(pipeline.query_async(&mut self.connection.clone())).await
    }

    async fn answer<T>(&self, answer: impl Future<Output = RedisResult<T>>) -> Result<T, Fault> {
        let sent = Instant::now();
        let Ok(answer) = timeout(self.patience, answer).await else {
            self.late.add(sent, Instant::now());
            return Err(Fault::Late);
        };
        self.late.clear();
        answer.map_err(Fault::of)
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
    fn of(error: RedisError) -> Self {
        // The error itself is not kept: its text may quote what was sent.
        match error.into_server_errors().as_deref() {
            Some([(_, error), ..]) if error.code() == "WRONGTYPE" => Self::Foreign,
            Some([(_, error), ..]) => Self::Refused(error.code().to_owned()),
            Some([]) | None => Self::Lost,
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
