//! Faults done, and undone.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use drill::{Book, Client, Door, Event, Place, Violation};
use local::{Role, Wire};
use proto::StreamEpoch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::excuse::Excuses;
use super::{Catalog, Fail, Fault, Op, Redis};
use crate::World;

/// How long a server may take to do what it is told, deaths of a moment ago included.
const PATIENCE: Duration = Duration::from_secs(30);

/// The stack, the senders' book, and what is going on.
pub(super) struct Chaos<'a> {
    pub(super) world: &'a World,
    pub(super) places: &'a [Place],
    pub(super) client: &'a Client,
    pub(super) book: &'a Book,
    /// What may be expected of the system because of it.
    pub(super) excuses: Excuses,
    /// Faults that last, and since when.
    pub(super) going_on: Mutex<Vec<(Fault, Instant)>>,
    /// Notes of lost streams that are not over, and the epochs of these streams, where they are known.
    pub(super) lost: Mutex<Vec<(usize, Option<StreamEpoch>)>>,
    /// What was seen to be wrong before it could be judged.
    pub(super) seen: Mutex<Vec<Violation>>,
    /// Once all is well again, or is known never to be.
    pub(super) healed: AtomicBool,
    /// Holds the lock on `runs`.
    lock: Mutex<Option<tokio_postgres::Client>>,
}

impl<'a> Chaos<'a> {
    pub(super) fn new(world: &'a World, places: &'a [Place], client: &'a Client, book: &'a Book) -> Self {
        let excuses = Excuses::new(client.gateways(), places.len());
        let (going_on, lost, seen, healed, lock) = Default::default();
        Self { world, places, client, book, excuses, going_on, lost, seen, healed, lock }
    }

    pub(super) async fn perform(&self, op: &Op) {
        match op {
            Op::Begin(fault) => {
                if fault.lasts() {
                    self.going_on.lock().expect("not poisoned").push((fault.clone(), Instant::now()));
                }
                self.excuses.begin(self.book, fault);
                self.begin(fault).await;
                if fault.is_over_at_once() {
                    self.excuses.end(fault, std::time::Instant::now());
                }
            }
            Op::End(fault, lasted) => {
                let ended =
                    self.going_on.lock().expect("not poisoned").extract_if(.., |(other, _)| other == fault).next();
                let since = ended.expect("what ends has begun").1;
                sleep_until(since + *lasted).await;
                self.end(fault).await;
            }
        }
    }

    pub(super) async fn end(&self, fault: &Fault) {
        if fault.is_over_at_once() {
            // To senders its end is another change, as its beginning was.
            self.excuses.begin(self.book, fault);
        }
        self.undo(fault).await;
        self.excuses.end(fault, std::time::Instant::now());
    }

    async fn begin(&self, fault: &Fault) {
        let stack = &self.world.stack;
        match fault {
            Fault::Kill(process) => {
                let forgot = (process == "redis").then(|| self.book.note(Event::Forgot));
                // Fails where it has just died by itself, which is as good.
                _ = stack.kill(process).await;
                forgot.into_iter().for_each(|note| self.book.over(note));
            }
            Fault::Freeze(process) => stack.freeze(process).await.expect("freezes"),
            Fault::Stop(process) => {
                let forgot = (process == "redis").then(|| self.book.note(Event::Forgot));
                // It may be about to be started again; then it will not be.
                let stopped = stack.stop(process).await;
                assert!(stopped.is_ok() || stack.check(process).await.is_err(), "{stopped:?}");
                forgot.into_iter().for_each(|note| self.book.over(note));
            }
            Fault::Redis(what) => self.redis(*what).await,
            Fault::DeleteStream => {
                let (note, old) = (self.book.note(Event::StreamLost), self.epoch().await);
                let delete = async || {
                    let client = async_nats::connect(stack.nats_url()).await.ok()?;
                    let context = async_nats::jetstream::new(client);
                    let deleted = context.delete_stream(proto::queue::STREAM).await;
                    // It may be gone already.
                    deleted.is_ok().then_some(()).or(context
                        .get_stream(proto::queue::STREAM)
                        .await
                        .is_err()
                        .then_some(()))
                };
                insist("the stream is deleted", delete).await;
                // Who does not know which it was cannot tell the new one from it, and waits for the end.
                self.lost.lock().expect("not poisoned").push((note, old));
            }
            Fault::LockRuns => {
                let client = insist("runs is locked", async || {
                    let client = self.superuser().await?;
                    let lock = "BEGIN; SET LOCAL lock_timeout = '5s'; LOCK TABLE runs IN ACCESS EXCLUSIVE MODE";
                    client.batch_execute(lock).await.ok().map(|()| client)
                });
                *self.lock.lock().expect("not poisoned") = Some(client.await);
            }
            Fault::NoWrites => {
                self.sql("ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()").await
            }
            Fault::Terminate => {
                self.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ('gateway', 'worker')",
                )
                .await;
            }
            Fault::Wire(role, server, fail) => fail_wire(&stack.wire_of(*role, *server), *fail).await,
            Fault::Catalog(what) => self.change(*what, true).await,
        }
    }

    async fn undo(&self, fault: &Fault) {
        let stack = &self.world.stack;
        match fault {
            Fault::Freeze(process) => stack.thaw(process).await.expect("thaws"),
            Fault::Stop(process) => {
                // Ordered to start; whether it can be ready now is another question.
                _ = timeout(Duration::from_millis(50), stack.start(process)).await;
            }
            Fault::Redis(Redis::Full) => self.command(&["CONFIG", "SET", "maxmemory", "0"]).await,
            Fault::Redis(Redis::ReadOnly) => self.command(&["REPLICAOF", "NO", "ONE"]).await,
            // The lock goes with its session.
            Fault::LockRuns => drop(self.lock.lock().expect("not poisoned").take()),
            Fault::NoWrites => {
                self.sql("ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()").await
            }
            Fault::Wire(role, server, _) => stack.wire_of(*role, *server).heal().await,
            Fault::Catalog(what) => self.change(*what, false).await,
            Fault::Kill(_) | Fault::Redis(Redis::Flush) | Fault::DeleteStream | Fault::Terminate => {}
        }
    }

    async fn redis(&self, what: Redis) {
        match what {
            Redis::Flush => {
                let forgot = self.book.note(Event::Forgot);
                self.command(&["FLUSHALL"]).await;
                self.book.over(forgot);
            }
            Redis::Full => self.command(&["CONFIG", "SET", "maxmemory", "1"]).await,
            // Of a master that is not there: it keeps what it has.
            Redis::ReadOnly => self.command(&["REPLICAOF", "127.0.0.1", "1"]).await,
        }
    }

    async fn change(&self, what: Catalog, begins: bool) {
        match what {
            Catalog::Disable(place) => {
                let id = self.places[place].ids.playbook;
                self.sql(&format!("UPDATE playbooks SET enabled = {} WHERE id = '{id}'", !begins)).await;
            }
            Catalog::KillSwitch => {
                let state = if begins { "on" } else { "off" };
                insist("the kill switch is set", async || {
                    self.world.stack.runlatch(&["kill-switch", state]).await.ok()
                })
                .await;
            }
            Catalog::Rename(place) => {
                let (id, old) = (self.places[place].ids.playbook, &self.places[place].playbook);
                let slug = if begins { format!("{old}-renamed") } else { old.clone() };
                self.sql(&format!("UPDATE playbooks SET slug = '{slug}' WHERE id = '{id}'")).await;
                let secret = self.client.door(place).secret;
                self.client.set_door(place, Door::new(&self.places[place].organization, &slug, &secret));
            }
            Catalog::Rotate(place) => {
                let id = self.places[place].ids.playbook;
                let name = format!("{}/{}", self.places[place].organization, slug(&self.client.door(place)));
                let secret = insist("a secret is made", async || self.world.stack.secret(&name).await.ok()).await;
                let secret = self.world.note(secret);
                self.client.set_door(place, Door { secret, ..self.client.door(place) });
                let newest = "SELECT id FROM webhook_secrets WHERE revoked_at IS NULL AND playbook_id";
                self.sql(&format!(
                    "UPDATE webhook_secrets SET revoked_at = now() WHERE playbook_id = '{id}' AND revoked_at IS NULL
                     AND id <> ({newest} = '{id}' ORDER BY created_at DESC LIMIT 1)"
                ))
                .await;
            }
        }
    }

    /// Past the wire, whatever is wrong with it.
    async fn command(&self, words: &[&str]) {
        insist(words[0], async || {
            let client = redis::Client::open(self.world.stack.redis_url()).ok()?;
            let answer = async {
                let mut connection = client.get_multiplexed_async_connection().await.ok()?;
                let mut command = redis::cmd(words[0]);
                command.arg(&words[1..]);
                command.query_async::<()>(&mut connection).await.ok()
            };
            timeout(Duration::from_secs(5), answer).await.ok()?
        })
        .await;
    }

    async fn sql(&self, statements: &str) {
        insist(statements, async || {
            let client = self.superuser().await?;
            for statement in statements.split("; ") {
                client.execute(statement, &[]).await.ok()?;
            }
            Some(())
        })
        .await;
    }

    async fn superuser(&self) -> Option<tokio_postgres::Client> {
        // Who sets what may be written must be able to write.
        let url = self.world.stack.database_url(Role::Superuser) + "?options=-c%20default_transaction_read_only%3Doff";
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(client)
    }
}

/// The playbook's slug in the path of its door.
fn slug(door: &Door) -> &str {
    door.path.rsplit('/').next().unwrap_or_default()
}

async fn fail_wire(wire: &Wire, fail: Fail) {
    match fail {
        Fail::Delay(ms) => wire.delay(Duration::from_millis(ms)),
        Fail::Chop => wire.chop(3),
        Fail::Hold => wire.hold(),
        Fail::Refuse => {
            wire.refuse().await;
            wire.cut();
        }
        Fail::Cut => wire.cut(),
        Fail::HalfClose => wire.half_close(local::Toward::Client),
        Fail::BlackHole => wire.black_hole(),
    }
}

async fn insist<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(done) = attempt().await {
            return done;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}
