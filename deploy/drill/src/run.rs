//! The drill: a stack of its own, a burst, deaths, and the verdict.

use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use local::{Extra, Role, Stack};
use tokio::time::{Instant, sleep};

use crate::audit::{audit, audit_meanwhile};
use crate::book::Book;
use crate::canary::deferring;
use crate::catalog::{Place, places};
use crate::client::{Client, Door};
use crate::fault::{Kill, Part};
use crate::found::Found;
use crate::load::{Policy, Throw};
use crate::plan::Plan;
use crate::queue::drained;
use crate::sabotage::Sabotage;
use crate::verdict::{Invariant, ONE_STALL, Verdict, Violation, judge};

const CATALOG: &str = include_str!("drill.toml");
/// Gateways, and as many workers.
const OF_EACH: usize = 2;
/// How long a sender waits for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a gateway waits for Redis. A machine that is busy with something else is not Redis being away, and a drill that
/// took it to be would have to excuse checks that are not made. A death is noticed at once all the same.
const REDIS_TIMEOUT: &str = "5s";
/// How long one delivery is tried, and how long the queue may stand still: ten times what any restart takes.
const INSIST: Duration = Duration::from_secs(120);

/// What to do.
#[derive(Clone, Debug)]
pub struct Drill {
    /// How many deliveries to throw, duplicates and conflicting reuses among them.
    pub deliveries: usize,
    /// Draws keys, payloads, duplicates, conflicts, their order, and before which delivery what is killed.
    pub seed: u64,
    /// Parts to kill, in turn.
    pub kill: Vec<Part>,
    /// How many deliveries are under way at a time.
    pub senders: usize,
}

/// How far it has got.
#[derive(Clone, Debug)]
pub enum Progress {
    /// The stack is being started.
    Starting,
    /// Deliveries are being thrown.
    Throwing {
        /// Deliveries begun.
        begun: usize,
        /// Deliveries with a definite answer.
        done: usize,
        /// Senders that are trying again just now.
        retrying: usize,
    },
    /// A process was killed, before the delivery of this number.
    Killed(Kill, usize),
    /// It is back, and all is as before, after this long.
    Back(Kill, Duration),
    /// All is sent; so many messages are left in the queue.
    Draining(u64),
    /// The book is held against the database.
    Judging,
}

/// A drill that is over, its stack still up.
pub struct Aftermath {
    /// The stack.
    pub stack: Stack,
    /// What was delivered to.
    pub places: Vec<Place>,
    /// What was sent and answered.
    pub book: Book,
    /// What was seen to be wrong before it could be judged.
    seen: Vec<Violation>,
}

impl Drill {
    /// A seed that was not used before, most likely, and that can be typed.
    pub fn any_seed() -> u64 {
        fastrand::u64(1..1_000_000_000)
    }

    /// Starts a stack, throws the burst and kills meanwhile, and waits until the queue is empty. Nothing but this
    /// stack is touched: what the environment says of databases and servers is not read.
    pub async fn run(&self, tell: &(dyn Fn(Progress) + Sync)) -> Result<Aftermath> {
        tell(Progress::Starting);
        // What a worker or the broker had in hand when it died comes again after the ack wait; half a minute of it would
        // prove nothing that seconds do not.
        let worker = Extra::new().env("RUNLATCH_ACK_WAIT", "5s").env("RUNLATCH_COMPACT_INTERVAL", "1s");
        let gateway = Extra::new().env("RUNLATCH_REDIS_TIMEOUT", REDIS_TIMEOUT);
        let stack = Stack::builder().gateways(OF_EACH).workers(OF_EACH).gateway(gateway).worker(worker);
        let stack = stack.start().await?;
        stack.catalog(CATALOG).await?;
        let places = places(&connect(&stack).await?).await?;
        let client = client(&stack, &places).await?;
        let mut rng = Rng::with_seed(self.seed);
        let plan = Plan::draw(&mut rng, self.deliveries, &places, client.gateways());
        let kills = Kill::spread(&mut rng, &self.kill, self.deliveries, OF_EACH);

        let book = Book::default();
        let policy = Policy { senders: self.senders, patience: PATIENCE, insist: INSIST, stall: INSIST };
        let throw = Throw::new(&client, &book, &plan, policy);
        let (mut failure, mut fallen) = (None, vec![]);
        let throwing = throw.run(&kills, async |kill| {
            tell(Progress::Killed(kill.clone(), throw.progress().0));
            let since = Instant::now();
            match kill.perform(&stack, &client, &book, &places).await {
                Ok(violations) if violations.is_empty() => tell(Progress::Back(kill.clone(), since.elapsed())),
                Ok(violations) => fallen.extend(violations),
                Err(error) => failure = failure.take().or(Some(error)),
            }
        });
        let ticking = async {
            loop {
                let (begun, done, retrying) = throw.progress();
                tell(Progress::Throwing { begun, done, retrying });
                sleep(Duration::from_millis(100)).await;
            }
        };
        let mut seen = vec![];
        let auditing = async {
            while seen.is_empty() {
                seen.extend(audit_meanwhile(&stack, false).await);
                sleep(Duration::from_secs(1)).await;
            }
            pending().await
        };
        tokio::select! {
            _ = throwing => {}
            () = ticking => {}
            () = auditing => {}
        }
        if let Some(error) = failure {
            return Err(error).context("a server that was killed did not come back");
        }
        seen.append(&mut fallen);
        seen.extend(deferring(&client, &book, &places).await);
        let last = AtomicU64::new(u64::MAX);
        let tell_left = |left| {
            if last.swap(left, Ordering::Relaxed) != left {
                tell(Progress::Draining(left));
            }
        };
        if let Err(error) = drained(&stack.nats_url(), INSIST, tell_left).await {
            seen.push(Violation { invariant: Invariant::I3, key: None, text: format!("{error:#}") });
        }
        tell(Progress::Judging);
        Ok(Aftermath { stack, places, book, seen })
    }
}

impl Aftermath {
    /// Spoils what was achieved.
    pub async fn spoil(&self, sabotage: Sabotage) -> Result<()> {
        sabotage.commit(&self.stack).await
    }

    /// Judges.
    pub async fn verdict(&self) -> Result<Verdict> {
        let found = Found::read(&mut connect(&self.stack).await?).await?;
        let mut verdict = judge(&self.book.record(), &self.places, &found, ONE_STALL);
        verdict.violations.extend(self.seen.iter().cloned());
        verdict.violations.extend(audit(&self.stack, false).await?);
        Ok(verdict)
    }
}

async fn connect(stack: &Stack) -> Result<tokio_postgres::Client> {
    let (client, connection) =
        tokio_postgres::connect(&stack.database_url(Role::Operator), tokio_postgres::NoTls).await?;
    // It ends with the client; what goes wrong with it, the query says.
    tokio::spawn(connection);
    Ok(client)
}

/// A client that every gateway lets in.
async fn client(stack: &Stack, places: &[Place]) -> Result<Client> {
    let mut doors = vec![];
    for place in places {
        let secret = stack.secret(&place.name()).await?;
        doors.push(Door::new(&place.organization, &place.playbook, &secret));
    }
    let client = Client::new(stack.urls(), doors)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    for gateway in 0..client.gateways() {
        for place in 0..places.len() {
            while !client.is_let_in(place, gateway).await {
                if Instant::now() > deadline {
                    bail!("a gateway does not know its secrets after half a minute");
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
    Ok(client)
}
