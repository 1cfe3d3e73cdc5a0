//! What is looked at while faults are done.

use std::sync::atomic::Ordering;
use std::time::Duration;

use drill::{Violation, audit_meanwhile};
use futures_util::future::join;
use proto::StreamEpoch;
use tokio::time::sleep;

use super::perform::Chaos;

impl Chaos<'_> {
    /// Until all is healed, audits again and again, and finds out when a stream that was lost is behind everybody.
    pub(super) async fn watch(&self) -> Option<Violation> {
        join(self.audits(), self.streams()).await.0
    }

    /// The first that finds anything. Of the current stream: an earlier one may have been lost on purpose.
    async fn audits(&self) -> Option<Violation> {
        while !self.healed.load(Ordering::Relaxed) {
            let violation = audit_meanwhile(&self.world.stack, true).await;
            if violation.is_some() {
                return violation;
            }
            sleep(Duration::from_millis(500)).await;
        }
        None
    }

    /// What is accepted once every gateway knows the new stream is not excused by the loss of the old one.
    async fn streams(&self) {
        while !self.healed.load(Ordering::Relaxed) {
            let lost = self.lost.lock().expect("not poisoned").clone();
            for (note, epoch) in lost {
                if self.is_behind(epoch).await {
                    self.book.over(note);
                    self.lost.lock().expect("not poisoned").retain(|(other, _)| *other != note);
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Whether every gateway knows one and the same stream, which is not this one.
    async fn is_behind(&self, epoch: StreamEpoch) -> bool {
        let Some(now) = self.epoch().await.filter(|now| *now != epoch) else { return false };
        for gateway in 0..self.client.gateways() {
            if !self.knows_stream(gateway).await {
                return false;
            }
        }
        self.epoch().await == Some(now)
    }
}
