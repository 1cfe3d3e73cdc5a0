//! Step 13: the claim on an idempotency key, in one round trip to Redis.

mod verdict;

use std::time::Duration;

use proto::{Claim, RunId};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{RedisError, RedisResult};
use tokio::time::timeout;

pub use verdict::{Verdict, judge, judge_known};

/// What Redis says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nobody held it. After [`Claims::claim`] we do.
    Absent,
    /// Somebody holds it.
    Held(Claim),
    /// Redis did not answer, refused to write, or holds what cannot be read: it decides nothing (I5).
    Unknown,
}

/// Redis, as far as claims go.
#[derive(Clone)]
pub struct Claims {
    connection: ConnectionManager,
    /// How long a key is remembered.
    window: Duration,
    /// Longest wait for an answer.
    patience: Duration,
}

impl Claims {
    /// Connects when it is first used, and again whenever that is needed. Must be called within a runtime.
    pub fn new(url: &str, window: Duration, patience: Duration) -> RedisResult<Self> {
        // No retries inside: a delivery does not wait for Redis to come back. The next one tries again.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(patience))
            .set_response_timeout(Some(patience));
        let connection = ConnectionManager::new_lazy_with_config(redis::Client::open(url)?, config)?;
        Ok(Self { connection, window, patience })
    }

    /// Claims the key, or finds out who holds it.
    pub async fn claim(&self, run: RunId, claim: &Claim) -> Found {
        let key = Claim::redis_key(run);
        match self.set_if_absent(&key, &claim.encode(), self.window).await {
            Ok(held) => read(held),
            // Full, Redis refuses even to SET what NX would have left alone. It still reads.
            Err(error) if is_out_of_memory(&error) => match self.get(&key).await {
                Found::Absent => Found::Unknown,
                found => found,
            },
            Err(error) => {
                tracing::debug!(%error, "redis: claim failed");
                Found::Unknown
            }
        }
    }

    /// Looks at the key without claiming it.
    pub async fn look_up(&self, run: RunId) -> Found {
        self.get(&Claim::redis_key(run)).await
    }

    /// Writes what was published over the claims, where these still exist. Whole values, own fingerprint included:
    /// what was published is a fact, and if Redis was emptied and the claim meanwhile names another payload, the
    /// fact wins.
    pub async fn mark(&self, published: &[(RunId, Claim)]) -> RedisResult<()> {
        let mut pipeline = redis::pipe();
        for (run, claim) in published {
            let value = claim.encode();
            pipeline.cmd("SET").arg(Claim::redis_key(*run)).arg(&value[..]).arg("XX").arg("KEEPTTL").ignore();
        }
        self.within(pipeline.query_async(&mut self.connection.clone())).await
    }

    /// A write of the very kind that claims need. PING would answer even where every write fails.
    pub async fn probe(&self, name: &str) -> RedisResult<()> {
        self.set_if_absent(&format!("rl:probe:{name}"), b"", Duration::from_secs(1)).await.map(drop)
    }

    async fn set_if_absent(&self, key: &str, value: &[u8], life: Duration) -> RedisResult<Option<Vec<u8>>> {
        let mut command = redis::cmd("SET");
        command.arg(key).arg(value).arg("NX").arg("GET").arg("EX").arg(life.as_secs());
        self.within(command.query_async(&mut self.connection.clone())).await
    }

    async fn get(&self, key: &str) -> Found {
        match self.within(redis::cmd("GET").arg(key).query_async(&mut self.connection.clone())).await {
            Ok(held) => read(held),
            Err(error) => {
                tracing::debug!(%error, "redis: look-up failed");
                Found::Unknown
            }
        }
    }

    /// Bounds connecting and answering together; the library bounds each by itself.
    async fn within<T>(&self, answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let late = || RedisError::from((redis::ErrorKind::Io, "no answer in time"));
        timeout(self.patience, answer).await.unwrap_or_else(|_| Err(late()))
    }
}

fn read(held: Option<Vec<u8>>) -> Found {
    match held {
        None => Found::Absent,
        // A version that we do not know belongs to a newer gateway: not absent, and not ours to judge.
        Some(bytes) => Claim::decode(&bytes).map_or(Found::Unknown, Found::Held),
    }
}

fn is_out_of_memory(error: &RedisError) -> bool {
    error.code() == Some("OOM")
}
