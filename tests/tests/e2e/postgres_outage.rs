//! Postgres away, in every way in which it can be: intake goes on, the worker waits and says so, and afterwards there is
//! one run for each delivery, and no dead letter.

use std::process::Command;
use std::time::Instant;

use async_nats::jetstream;
use harness::{Playbook, World, eventually, payload};
use local::{Extra, Role};
use proto::{StreamEpoch, queue};
use tokio_postgres::Client;

struct Outages {
    world: World,
    deploy: Playbook,
    keys: Vec<String>,
}

impl Outages {
    async fn start() -> Self {
        // Of few messages each, so that every lane gets one.
        let worker = Extra::new().env("RUNLATCH_LANES", "4").env("RUNLATCH_BATCH_MESSAGES", "4");
        let world = World::with(|builder| builder.worker(worker)).await;
        let deploy = world.playbook("acme/deploy").await;
        Self { world, deploy, keys: vec![] }
    }

    /// Sends a delivery that is accepted, and not deferred.
    async fn send(&mut self, name: &str) {
        self.keys.push(format!("{name}-{:04}", self.keys.len()));
        let key = self.keys.last().expect("just pushed");
        assert!(!self.world.send(self.deploy.delivery(key)).await.created().deferred);
    }

    /// Intake goes on, the worker says what is wrong, pulls nothing more, and does not try like mad.
    async fn bear(&mut self, name: &str, says: &str, began: Instant, failures: f64) {
        // For one lane to get stuck with, while the others wait.
        self.send(name).await;
        eventually(&format!("{name}: the worker says so"), async || {
            let (status, text) = self.world.ops("worker-1", "/readyz").await;
            (status == 503 && text.contains(&format!("postgres: {says}"))).then_some(())
        })
        .await;
        let before = eventually(&format!("{name}: what it asked for before has come"), async || {
            let consumer = consumer(&self.world).await;
            (consumer.num_waiting == 0).then_some(consumer)
        })
        .await;
        for _ in 0..20 {
            self.send(name).await;
        }
        let now = consumer(&self.world).await;
        let (in_hand, waiting) = (before.num_ack_pending, before.num_pending + 20);
        assert_eq!((now.num_ack_pending, now.num_pending), (in_hand, waiting), "{name}: it goes on pulling");
        assert_eq!(self.world.ops("gateway-1", "/readyz").await.0, 200, "{name}");
        let tried = self.failures().await - failures;
        // What the shortest of the pauses would allow a batch: 8 attempts in the first 3 s, then one each 2.5 s.
        let most = in_hand as f64 * (8.0 + began.elapsed().as_secs_f64() / 2.5);
        assert!(tried <= most, "{name}: tried {tried} times in {:?}", began.elapsed());
    }

    async fn failures(&self) -> f64 {
        self.world.metric("worker-1", "runlatch_worker_commit_failures_total").await.expect("a count")
    }

    /// Everything that was accepted is one run, and nothing counts against anything.
    async fn caught_up(&self, name: &str) {
        self.world.stack.ready("worker-1").await.expect("recovers");
        self.world.settled().await;
        let runs: Vec<_> = self.world.runs().await.into_iter().map(|run| (run.key, run.payload)).collect();
        let mut sent: Vec<_> = self.keys.iter().map(|key| (key.clone(), payload(key))).collect();
        sent.sort();
        assert_eq!(runs, sent, "{name}");
        assert_eq!(self.world.count("dead_letters").await, 0, "{name}");
        assert_eq!(self.world.count("suspect_messages").await, 0, "{name}");
        let again = self.world.metric("worker-1", "runlatch_worker_redeliveries_total").await;
        assert_eq!(again, Some(0.0), "{name}: it lost hold of something");
    }
}

/// What workers have in hand, have asked for, and have not asked for.
async fn consumer(world: &World) -> jetstream::consumer::Info {
    let client = async_nats::connect(world.stack.nats_url()).await.expect("connects");
    let stream = jetstream::new(client).get_stream(queue::STREAM).await.expect("the stream");
    let epoch = StreamEpoch::from_unix_nanos(stream.cached_info().created.unix_timestamp_nanos());
    stream.consumer_info(queue::consumer(epoch)).await.expect("the consumer")
}

/// One at a time: some of them cannot be run in a transaction.
async fn execute(database: &Client, statements: &[&str]) {
    for statement in statements {
        database.batch_execute(statement).await.expect("executed");
    }
}

const THROW_OUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'worker'";
const RELOAD: &str = "SELECT pg_reload_conf()";

/// What a session can do to the others: what the worker says of it, how it begins, how it ends.
const BY_SQL: [(&str, &str, &[&str], &[&str]); 6] = [
    ("locked", "", &["BEGIN", "LOCK TABLE runs IN ACCESS EXCLUSIVE MODE"], &["COMMIT"]),
    (
        "read-only",
        "SQLSTATE 25006",
        &["ALTER SYSTEM SET default_transaction_read_only = on", RELOAD],
        &["ALTER SYSTEM RESET default_transaction_read_only", RELOAD],
    ),
    ("no-login", "SQLSTATE 28000", &["ALTER ROLE worker NOLOGIN", THROW_OUT], &["ALTER ROLE worker LOGIN"]),
    (
        "no-connection",
        "SQLSTATE 53300",
        &["ALTER ROLE worker CONNECTION LIMIT 0", THROW_OUT],
        &["ALTER ROLE worker CONNECTION LIMIT -1"],
    ),
    ("no-table", "SQLSTATE 42P01", &["ALTER TABLE runs RENAME TO hidden"], &["ALTER TABLE hidden RENAME TO runs"]),
    (
        "no-right",
        "SQLSTATE 42501",
        &["REVOKE INSERT ON runs FROM runlatch_worker"],
        &["GRANT INSERT ON runs TO runlatch_worker"],
    ),
];

#[tokio::test]
async fn refused() {
    let mut outages = Outages::start().await;
    let database = outages.world.login(Role::Superuser).await;
    for (name, says, begin, end) in BY_SQL {
        let (began, failures) = (Instant::now(), outages.failures().await);
        execute(&database, begin).await;
        outages.bear(name, says, began, failures).await;
        if name == "locked" {
            leaves_no_session_behind(&outages.world).await;
        }
        execute(&database, end).await;
        outages.caught_up(name).await;
    }
    outages.world.end().await;
}

/// A session that waits for a lock does not see that its client has gone: the worker's questions whether Postgres is
/// well must not pile up there.
async fn leaves_no_session_behind(world: &World) {
    let database = world.login(Role::Superuser).await;
    let asking = async || {
        let sql = "SELECT pid FROM pg_stat_activity
                   WHERE usename = 'worker' AND wait_event_type = 'Lock' AND query LIKE '%LIMIT 0%'";
        let rows = database.query(sql, &[]).await.expect("sessions");
        rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>()
    };
    let first = eventually("a session asks", async || asking().await.first().copied()).await;
    let now = eventually("another one asks", async || {
        let now = asking().await;
        now.iter().any(|pid| *pid != first).then_some(now)
    })
    .await;
    assert!(!now.contains(&first), "{first} is still waiting for nobody");
}

/// Errors that are Postgres' own, or another transaction's, or an operator's: a full disk, no memory, a server that
/// starts, a deadlock, a lock, a cancelled statement, a crash elsewhere, an error of no known kind.
const STATES: [&str; 14] = [
    "53100", "53200", "53400", "57P03", "57P01", "57P02", "40001", "40P01", "55P03", "57014", "58030", "XX000",
    "XX001", "P0001",
];
/// Of a row's data where the row is inserted; at any other place the row is not to blame.
const REFUSALS: [&str; 3] = ["22003", "23505", "54001"];

/// Each attempt meets the next error, until there is none left.
#[tokio::test]
async fn failing() {
    let mut outages = Outages::start().await;
    let database = outages.world.login(Role::Superuser).await;
    let sql = "
        CREATE SEQUENCE attempts;
        GRANT USAGE ON SEQUENCE attempts TO PUBLIC;
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
            DECLARE state text := TG_ARGV[nextval('attempts') - 1];
            BEGIN
                IF state IS NOT NULL THEN RAISE EXCEPTION 'simulated' USING ERRCODE = state; END IF;
                RETURN NEW;
            END $$;";
    database.batch_execute(sql).await.expect("a trigger's function");
    let settling = [STATES.as_slice(), REFUSALS.as_slice()].concat();
    let places: [(&str, &str, &[&str]); 3] = [
        ("insert", "TRIGGER fail BEFORE INSERT ON runs", &STATES),
        ("settle", "TRIGGER fail BEFORE INSERT ON settled_sequences", &settling),
        // At COMMIT.
        (
            "commit",
            "CONSTRAINT TRIGGER fail AFTER INSERT ON settled_sequences DEFERRABLE INITIALLY DEFERRED",
            &settling,
        ),
    ];
    for (name, trigger, states) in places {
        // Each lane finds a batch of its own when it starts, so that they get through the errors together.
        outages.world.stack.stop("worker-1").await.expect("stops");
        for _ in 0..20 {
            outages.send(name).await;
        }
        let arguments = states.join("','");
        // Not the row by which a worker makes the stream known.
        let of_a_batch = if name == "insert" { "" } else { "WHEN (NOT isempty(NEW.sequences))" };
        let sql = format!(
            "SELECT setval('attempts', 1, false);
             CREATE {trigger} FOR EACH ROW {of_a_batch} EXECUTE FUNCTION fail('{arguments}')"
        );
        database.batch_execute(&sql).await.expect("a trigger");
        outages.world.stack.start("worker-1").await.expect("starts");
        outages.caught_up(name).await;
        assert_eq!(outages.failures().await, states.len() as f64, "{name}: an error went unnoticed");
        let table = trigger.split_whitespace().skip_while(|word| *word != "ON").nth(1).expect("a table");
        database.batch_execute(&format!("DROP TRIGGER fail ON {table}")).await.expect("dropped");
    }
    outages.world.end().await;
}

/// Stopped and started, killed and started, and held where it is.
#[tokio::test]
async fn away() {
    let mut outages = Outages::start().await;
    for (name, kill) in [("stopped", false), ("killed", true)] {
        let (began, failures) = (Instant::now(), outages.failures().await);
        if kill {
            outages.world.stack.halt("postgres").await.expect("halts");
        } else {
            assert!(outages.world.stack.stop("postgres").await.expect("stops").success());
        }
        outages.bear(name, "no connection: connection refused", began, failures).await;
        if kill {
            outages.world.stack.start("postgres").await.expect("starts");
        } else {
            starts_before_postgres(&outages).await;
        }
        outages.world.database = outages.world.login(Role::Operator).await;
        outages.caught_up(name).await;
        // The catalog is followed again: a new secret comes into force.
        outages.world.playbook("acme/notify").await;
    }

    let (began, failures) = (Instant::now(), outages.failures().await);
    let frozen = Frozen::new(&outages.world).await;
    outages.bear("frozen", "no answer in time", began, failures).await;
    drop(frozen);
    outages.world.stack.thaw("postgres").await.expect("thaws");
    outages.caught_up("frozen").await;
    outages.world.playbook("globex/one").await;
    outages.world.end().await;
}

/// A gateway that starts now is not ready before Postgres is there, and then it is.
async fn starts_before_postgres(outages: &Outages) {
    let stack = &outages.world.stack;
    let nothing = Extra::new();
    let watching = async {
        eventually("it waits for its first catalog", async || {
            let url = stack.ops_url("gateway-2").ok()? + "/readyz";
            let answer = outages.world.http.get(url).send().await.ok()?;
            let status = answer.status();
            (status == 503 && answer.text().await.ok()?.contains("postgres: no catalog")).then_some(())
        })
        .await;
        assert_eq!(outages.world.ops("gateway-1", "/readyz").await.0, 200);
        stack.start("postgres").await.expect("starts");
    };
    let (added, ()) = tokio::join!(stack.add_gateway(&nothing), watching);
    let again = outages.deploy.delivery(&outages.keys[0]).gateway(1);
    assert_eq!(added.expect("becomes ready"), "gateway-2");
    outages.world.send(again).await.replayed();
}

/// Every process of Postgres holds its connections and answers nothing. They go on when this is dropped, but for the
/// first of them, which the stack holds.
struct Frozen(Vec<String>);

impl Frozen {
    async fn new(world: &World) -> Self {
        world.stack.freeze("postgres").await.expect("freezes");
        let sql = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() UNION ALL SELECT pg_backend_pid()";
        let rows = world.database.query(sql, &[]).await.expect("processes");
        let frozen = Self(rows.iter().map(|row| row.get::<_, i32>(0).to_string()).collect());
        frozen.signal("-STOP");
        frozen
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").arg(signal).args(&self.0).status().expect("there is kill").success());
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}
