//! One round: a stack, a plan, a script, and the verdict.

use std::collections::BTreeMap;
use std::time::Duration;

use drill::{Book, Client, Door, Event, Figures, Found, Key, Plan, Policy, Record, Sending, Sent, Throw};
use drill::{audit, drained, judge, missing, places};
use fastrand::Rng;
use futures_util::future::join;
use local::{Extra, Role};
use tokio::time::sleep;

use super::Script;
use super::perform::Chaos;
use crate::World;

/// How much is done in a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Deliveries.
    pub deliveries: usize,
    /// Faults.
    pub faults: usize,
    /// With what takes long to be noticed, and with the same again and again.
    pub long: bool,
    /// What takes longer than this, hangs: many times as long as any does.
    pub limit: Duration,
}

impl Size {
    /// For `make test`.
    pub const SHORT: Self = Self { deliveries: 1_200, faults: 12, long: false, limit: Duration::from_secs(240) };
    /// For `make soak`.
    pub const LONG: Self = Self { deliveries: 8_000, faults: 40, long: true, limit: Duration::from_secs(1200) };

    /// By its name, `short` or `long`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "short" => Some(Self::SHORT),
            "long" => Some(Self::LONG),
            _ => None,
        }
    }
}

/// A round in which nothing was violated.
#[derive(Debug)]
pub struct Outcome {
    /// What was sent, answered and found.
    pub figures: Figures,
    /// What was done, by kind.
    pub faults: BTreeMap<String, usize>,
}

/// While parts are out: many senders, none of which waits for long.
const THROW: Policy = Policy {
    senders: 32,
    patience: Duration::from_secs(2),
    insist: Duration::from_millis(1500),
    stall: Duration::from_millis(1500),
};
/// All that is on its way at one time, twins included: gateways wait for Redis for a quarter of a second here, which a busy
/// machine stands still for at times.
const ONE_STALL: usize = 2 * THROW.senders;
/// When all is well again: until there is an answer.
const RETRY: Policy = Policy {
    senders: 32,
    patience: Duration::from_secs(10),
    insist: Duration::from_secs(60),
    stall: Duration::from_secs(60),
};
/// How long the queue may stand still.
const PATIENCE: Duration = Duration::from_secs(90);

/// Plays the round of this seed.
///
/// # Panics
/// Where anything is violated, does not recover, or hangs. What was done is `Script::of` this seed.
pub async fn round(seed: u64, size: Size) -> Outcome {
    let (rng, script) = Script::of(seed, size);
    // Whatever runs tests keeps the list to itself until one has failed, and a test that hangs never has.
    let hangs = async {
        sleep(size.limit).await;
        panic!("seed {seed} is not over after {:?}\n{script}", size.limit);
    };
    tokio::select! {
        outcome = play(rng, &script, size) => outcome,
        outcome = hangs => outcome,
    }
}

async fn play(mut rng: Rng, script: &Script, size: Size) -> Outcome {
    let world = world().await;
    let places = places(&connect(&world).await).await.expect("the catalog");
    let mut doors = vec![];
    for place in &places {
        let playbook = world.playbook(&place.name()).await;
        doors.push(Door { path: playbook.path, secret: playbook.secret });
    }
    let client = Client::new(world.stack.urls(), doors).expect("a client");
    let plan = Plan::draw(&mut rng, size.deliveries, &places, client.gateways());

    let book = Book::default();
    let chaos = Chaos::new(&world, &places, &client, &book);
    let faults = async {
        Throw::new(&client, &book, &plan, THROW).run(&script.acts, async |op| chaos.perform(op).await).await;
        chaos.heal().await;
    };
    join(faults, chaos.watch()).await;
    // Of what follows some may never come about because of that, and would hide it.
    let seen: Vec<_> = chaos.seen.lock().expect("not poisoned").iter().map(ToString::to_string).collect();
    assert!(seen.is_empty(), "{}", seen.join("\n"));

    send_again(&client, &book, &undecided(&book.record())).await;
    drained(&world.stack.nats_url(), PATIENCE, |_| {}).await.expect("drained");
    let lost = book.record().notes.iter().any(|note| note.event == Event::StreamLost);
    if lost {
        // What the lost stream held comes back by retries, and only so.
        let record = book.record();
        let found = Found::read(&mut connect(&world).await).await.expect("rows");
        send_again(&client, &book, &missing(&record, &places, &found)).await;
        drained(&world.stack.nats_url(), PATIENCE, |_| {}).await.expect("drained");
    }
    let (record, found) = (book.record(), Found::read(&mut connect(&world).await).await.expect("rows"));
    let mut verdict = judge(&record, &places, &found, ONE_STALL);
    verdict.violations.extend(audit(&world.stack, lost).await.expect("an audit"));
    assert!(verdict.is_clean(), "{verdict}");
    for (key, sent) in missing(&record, &places, &found) {
        // Another delivery has the key by now, since Redis forgot or the check was deferred: its sender knows. There is
        // no other way to be gone.
        let last = sent.attempts.last().map(|attempt| attempt.answer.label());
        assert_eq!(last.as_deref(), Some("409 idempotency_conflict"), "{key:?}");
    }
    world.end().await;
    Outcome { figures: verdict.figures, faults: script.faults() }
}

async fn world() -> World {
    // Short waits where the product's own are for machines far away: a round must be over in half a minute.
    let gateway = Extra::new().env("RUNLATCH_PUBLISH_TIMEOUT", "2s").env("RUNLATCH_SHUTDOWN_DEADLINE", "3s");
    let worker = Extra::new().env("RUNLATCH_ACK_WAIT", "3s").env("RUNLATCH_MAX_HOLD", "4s");
    let worker = worker.env("RUNLATCH_SHUTDOWN_DEADLINE", "3s").env("RUNLATCH_COMPACT_INTERVAL", "1s");
    let gateway = gateway.env("RUNLATCH_REDIS_TIMEOUT", "250ms");
    World::with(|builder| builder.gateways(2).workers(3).wire(true).gateway(gateway).worker(worker)).await
}

/// Not the world's own, which does not outlive a death of Postgres.
async fn connect(world: &World) -> tokio_postgres::Client {
    let url = world.stack.database_url(Role::Operator);
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("connects");
    tokio::spawn(connection);
    client
}

async fn send_again(client: &Client, book: &Book, again: &[(&Key, &Sent)]) {
    let plan = Plan { sendings: again.iter().map(|(key, sent)| Sending::again(key, sent)).collect() };
    Throw::new(client, book, &plan, RETRY).run::<()>(&[], async |()| {}).await;
}

/// Deliveries of which nobody knows what became.
fn undecided(record: &Record) -> Vec<(&Key, &Sent)> {
    let all = record.keys.iter().flat_map(|(key, sents)| sents.iter().map(move |sent| (key, sent)));
    all.filter(|(_, sent)| !sent.attempts.iter().any(|attempt| attempt.answer.is_definite())).collect()
}
