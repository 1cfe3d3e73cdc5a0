//! What is in Redis, and in the queue.

use std::time::Duration;

use proto::claim::State;
use proto::{Claim, PlaybookId, RunId};
use redis::{AsyncConnectionConfig, FromRedisValue, RedisResult};
use uuid::Uuid;

use crate::World;
use crate::world::eventually;

/// How long to wait for Redis. Of its own the client waits for half a second, which a busy machine takes now and then.
const PATIENCE: Duration = Duration::from_secs(10);

impl World {
    /// Runs one command.
    pub async fn redis<T: FromRedisValue>(&self, command: &redis::Cmd) -> T {
        self.try_redis(command).await.expect("an answer")
    }

    /// Runs one command, where Redis may be unwell.
    pub async fn try_redis<T: FromRedisValue>(&self, command: &redis::Cmd) -> RedisResult<T> {
        let client = redis::Client::open(self.stack.redis_url())?;
        let config = AsyncConnectionConfig::new();
        let config = config.set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        command.query_async(&mut connection).await
    }

    /// Puts a claim, or what is none, under a run id.
    pub async fn set_claim(&self, run: RunId, value: &[u8]) {
        self.redis::<()>(redis::cmd("SET").arg(&Claim::redis_key(run)[..]).arg(value).arg("EX").arg(100)).await;
    }

    /// Redis loses all that it knows.
    pub async fn forget(&self) {
        self.redis::<()>(&redis::cmd("FLUSHALL")).await;
    }

    /// Waits until the claim of a run is marked as published.
    pub async fn marked(&self, run: Uuid) -> Claim {
        eventually("the claim is marked", async || {
            let value: Option<Vec<u8>> = self.redis(redis::cmd("GET").arg(&Claim::redis_key(RunId(run))[..])).await;
            let claim = Claim::decode(&value?).expect("a claim");
            (claim.state == State::Published).then_some(claim)
        })
        .await
    }

    /// True if `key` is claimed on acme/deploy.
    pub async fn claimed(&self, key: &str) -> bool {
        let scope = proto::Scope::Playbook(self.playbook_id("deploy").await);
        let run = RunId::compute(scope, &key.parse().expect("a key"));
        self.redis::<bool>(redis::cmd("EXISTS").arg(&Claim::redis_key(run)[..])).await
    }

    /// Id of acme's playbook of this slug.
    pub async fn playbook_id(&self, slug: &str) -> PlaybookId {
        let query = "SELECT playbooks.id FROM playbooks JOIN organizations ON organizations.id = organization_id
                     WHERE organizations.slug = 'acme' AND playbooks.slug = $1::text";
        PlaybookId(self.database.query_one(query, &[&slug]).await.expect("the playbook").get(0))
    }

    /// Messages that the stream has ever taken.
    pub async fn messages_ever(&self) -> u64 {
        let client = async_nats::connect(self.stack.nats_url()).await.expect("connects");
        let stream = async_nats::jetstream::new(client).get_stream(proto::queue::STREAM).await.expect("the stream");
        stream.cached_info().state.last_sequence
    }
}
