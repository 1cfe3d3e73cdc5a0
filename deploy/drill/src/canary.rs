//! A delivery that is sent to see how a gateway is.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::book::{Answer, Book, Key, What};
use crate::catalog::Place;
use crate::client::Client;
use crate::plan::{Kind, Sending};
use crate::verdict::{Invariant, Violation};

/// How long a gateway may defer checks when all is well: many times what its probe takes, for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

impl Sending {
    /// A new key at the first of these places.
    pub fn canary(places: &[Place], gateway: usize) -> Self {
        let payload = "{}".to_owned();
        let key = Key { scope: places[0].scope(), key: format!("canary-{gateway}-{:016x}", fastrand::u64(..)) };
        let what = What { place: 0, project: None, template: None, payload: payload.clone() };
        Self { key, what, body: payload, gateway, kind: Kind::New }
    }
}

impl Client {
    /// Sends one request to this gateway, and writes it and its answer into the book.
    pub async fn send(&self, book: &Book, sending: &Sending, gateway: usize, patience: Duration) -> Answer {
        let ticket = book.begin(sending, gateway);
        let answer = self.deliver(sending, gateway, patience).await;
        book.end(&ticket, answer.clone());
        answer
    }
}

/// Gateways that do not check keys, long after all was well again. In a book alone this can look like an outage.
pub(crate) async fn deferring(client: &Client, book: &Book, places: &[Place]) -> Vec<Violation> {
    let mut violations = vec![];
    for gateway in 0..client.gateways() {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = client.send(book, &Sending::canary(places, gateway), gateway, PATIENCE).await;
            if matches!(answer, Answer::Accepted { deferred: false, .. }) {
                break;
            }
            if Instant::now() > deadline {
                let text = format!("gateway {} answers {} when all is well", gateway + 1, answer.label());
                violations.push(Violation { invariant: Invariant::I4, key: None, text });
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
    violations
}
