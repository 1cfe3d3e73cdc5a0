//! A delivery that is sent to see how a gateway is.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::book::{Answer, Book, Key, What};
use crate::catalog::Place;
use crate::client::Client;
use crate::plan::{Kind, Sending};
use crate::verdict::{Invariant, Violation};

/// How long a gateway may defer checks when all is well: many times what its probe takes, for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// One that checks now and then does not check.
const IN_A_ROW: usize = 20;

impl Sending {
    /// A new key at any of these places: some may be closed.
    pub fn canary(places: &[Place], gateway: usize) -> Self {
        let (place, payload) = (fastrand::usize(..places.len()), "{}".to_owned());
        let key = Key { scope: places[place].scope(), key: format!("canary-{gateway}-{:016x}", fastrand::u64(..)) };
        let what = What { place, project: None, template: None, payload: payload.clone() };
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

/// Gateways that do not check keys, one after another, long after all was well again. In a book alone this can look like
/// an outage.
pub(crate) async fn deferring(client: &Client, book: &Book, places: &[Place]) -> Vec<Violation> {
    let gateways = (0..client.gateways()).map(|gateway| checks(client, book, places, gateway, IN_A_ROW));
    join_all(gateways).await.into_iter().flatten().collect()
}

/// Waits until so many keys in a row are checked by this gateway. What it is blamed for, where that takes too long.
pub(crate) async fn checks(
    client: &Client,
    book: &Book,
    places: &[Place],
    gateway: usize,
    in_a_row: usize,
) -> Option<Violation> {
    let deadline = Instant::now() + PATIENCE;
    let mut checked = 0;
    while checked < in_a_row {
        let answer = client.send(book, &Sending::canary(places, gateway), gateway, PATIENCE).await;
        if matches!(answer, Answer::Accepted { deferred: false, .. }) {
            checked += 1;
            continue;
        }
        if Instant::now() > deadline {
            let text = format!("gateway {} answers {} when all is well", gateway + 1, answer.label());
            return Some(Violation { invariant: Invariant::I4, key: None, text });
        }
        checked = 0;
        sleep(Duration::from_millis(50)).await;
    }
    None
}
