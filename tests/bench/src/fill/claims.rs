//! Claims in Redis.

use anyhow::Result;
use proto::claim::{Queued, State};
use proto::{Claim, PlaybookId, ProjectId, RunId, StreamEpoch, TemplateId, Timestamp};
use redis::aio::MultiplexedConnection;
use uuid::Uuid;

/// Commands sent at a time.
const PIECE: u64 = 5000;
/// The gateway's default window.
const WINDOW: u64 = 24 * 3600;

/// As many claims as of deliveries of a while ago, in the database that the connection is for.
pub(crate) async fn claims(redis: &mut MultiplexedConnection, count: u64) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(count);
    let mut bytes = || {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        bytes
    };
    let mut left = count;
    while left > 0 {
        let piece = left.min(PIECE);
        let mut pipe = redis::pipe();
        for _ in 0..piece {
            let claim = Claim {
                state: State::Published,
                fingerprint: bytes(),
                accepted_at: Timestamp::now(),
                playbook: PlaybookId(Uuid::from_bytes(bytes())),
                epoch: StreamEpoch(1),
                queued: Some(Queued {
                    project: ProjectId(Uuid::from_bytes(bytes())),
                    template: TemplateId(Uuid::from_bytes(bytes())),
                    // As long as a UUID's text.
                    key: Uuid::from_bytes(bytes()).to_string().parse()?,
                }),
            };
            let key = Claim::redis_key(RunId(Uuid::new_v8(bytes())));
            pipe.cmd("SET").arg(&key[..]).arg(&*claim.encode()).arg("EX").arg(WINDOW).ignore();
        }
        let () = pipe.query_async(redis).await?;
        left -= piece;
    }
    Ok(())
}
