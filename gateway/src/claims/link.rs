//! One connection to Redis, and what its answers say of Redis itself.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

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
    /// Answers that were late since the last one that was not.
    late: AtomicU32,
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
            Ok(Ok(connection)) => Ok(Self { connection, patience, late: AtomicU32::new(0) }),
            Ok(Err(error)) => Err(Fault::of(error)),
            Err(_) => Err(Fault::Late),
        }
    }

    /// The same connection, with nothing held against it.
    pub(super) fn again(&self) -> Self {
        Self { connection: self.connection.clone(), patience: self.patience, late: AtomicU32::new(0) }
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
        let Ok(answer) = timeout(self.patience, answer).await else {
            self.late.fetch_add(1, Ordering::Relaxed);
            return Err(Fault::Late);
        };
        // Read first: while all is well nobody writes here, so that the line stays in every core's cache.
        if self.late.load(Ordering::Relaxed) != 0 {
            self.late.store(0, Ordering::Relaxed);
        }
        answer.map_err(Fault::of)
    }

    /// True once so many answers in a row were late that the next will be too.
    pub(super) fn is_silent(&self) -> bool {
        self.late.load(Ordering::Relaxed) >= LATE
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
