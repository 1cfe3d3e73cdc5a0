//! What is looked at while faults are done.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use drill::{Answer, Event, Invariant, Sending, Violation, audit_meanwhile};
use futures_util::future::{join_all, join3};
use proto::StreamEpoch;
use tokio::time::sleep;

use super::perform::Chaos;

/// How long a canary waits. What hangs for longer than that says nothing yet.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at the same.
const PAUSE: Duration = Duration::from_millis(100);

impl Chaos<'_> {
    /// Until all is healed, audits again and again, and finds out when what was done is behind everybody.
    pub(super) async fn watch(&self) {
        let gateways = join_all((0..self.client.gateways()).map(|gateway| self.canaries(gateway)));
        join3(self.audits(), gateways, self.streams()).await;
    }

    fn see(&self, violation: Violation) {
        self.seen.lock().expect("not poisoned").push(violation);
    }

    /// Until one finds anything. Of the current stream: an earlier one may have been lost on purpose.
    async fn audits(&self) {
        while !self.healed.load(Ordering::Relaxed) {
            if let Some(violation) = audit_meanwhile(&self.world.stack, true).await {
                return self.see(violation);
            }
            sleep(5 * PAUSE).await;
        }
    }

    /// Ends each excuse of this gateway when nothing is amiss any more, and blames it where that does not come about.
    async fn canaries(&self, gateway: usize) {
        while !self.healed.load(Ordering::Relaxed) {
            // What is over before a canary is sent, and no more, is what it tells of.
            let mut over = self.excuses.over();
            over.retain(|open| open.event.gateway() == Some(gateway));
            while let Some(event) = over.first().map(|open| open.event) {
                let same = over.extract_if(.., |open| open.event == event).collect::<Vec<_>>();
                match self.amiss(event).await {
                    Some(None) => self.excuses.close(self.book, &same),
                    Some(Some((invariant, answer))) => {
                        if let Some(overdue) = self.excuses.overdue(event, Instant::now()) {
                            let text = format!(
                                "gateway {} answers {answer}, {overdue:.1?} later than any fault explains",
                                gateway + 1
                            );
                            self.see(Violation { invariant, key: None, text });
                            self.excuses.close(self.book, &same);
                        }
                    }
                    None => {}
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// What is amiss, if anything; none where it cannot be told now.
    async fn amiss(&self, event: Event) -> Option<Option<(Invariant, String)>> {
        match event {
            Event::Unchecked { gateway } => {
                let canary = Sending::canary(self.places, gateway);
                let answer = self.client.send(self.book, &canary, gateway, PATIENCE).await;
                let Answer::Accepted { deferred, .. } = answer else { return None };
                Some(deferred.then(|| (Invariant::I4, answer.label())))
            }
            Event::Catalog { gateway, place } => {
                let code = self.client.knock(place, gateway).await?;
                let refused = || (Invariant::Contract, format!("{code} at {}", self.places[place].name()));
                matches!(code, 400 | 401 | 404).then(|| (code != 400).then(refused))
            }
            Event::Forgot | Event::StreamLost => None,
        }
    }

    /// What is accepted once every gateway knows the new stream is not excused by the loss of the old one.
    async fn streams(&self) {
        while !self.healed.load(Ordering::Relaxed) {
            let lost = self.lost.lock().expect("not poisoned").clone();
            for (note, epoch) in lost {
                if let Some(epoch) = epoch
                    && self.is_behind(epoch).await
                {
                    self.book.over(note);
                    self.lost.lock().expect("not poisoned").retain(|(other, _)| *other != note);
                }
            }
            sleep(PAUSE).await;
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
