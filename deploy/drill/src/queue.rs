//! Whether all that was accepted has been dealt with.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};

/// Waits until the stream is empty, and so every message settled. Gives up once it has not grown shorter for
/// `patience`. Calls `tell` with the number of messages left.
pub async fn drained(nats_url: &str, patience: Duration, mut tell: impl FnMut(u64)) -> Result<()> {
    let client = async_nats::ConnectOptions::new().connection_timeout(patience).connect(nats_url).await?;
    let context = async_nats::jetstream::new(client);
    let (mut least, mut since) = (u64::MAX, Instant::now());
    let mut trouble = None;
    loop {
        match context.get_stream(proto::queue::STREAM).await {
            Ok(stream) => {
                let left = stream.cached_info().state.messages;
                tell(left);
                if left == 0 {
                    return Ok(());
                }
                if left < least {
                    (least, since) = (left, Instant::now());
                }
            }
            Err(error) => trouble = Some(error),
        }
        if since.elapsed() > patience {
            return match trouble {
                Some(error) if least == u64::MAX => Err(error).context("the queue cannot be looked at"),
                _ => bail!("{least} messages are left in the queue, and no worker takes them"),
            };
        }
        sleep(Duration::from_millis(50)).await;
    }
}
