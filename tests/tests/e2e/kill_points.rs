//! Death by kill -9 at every instruction that matters, the client's retry, and then the count.

use std::pin::pin;

use futures_util::future::join_all;
use harness::{IMMORTAL, Playbook, Side, Success, World, eventually, mortal, payload};
use local::{Builder, Extra, Role, State};
use proto::claim::State as Claimed;
use proto::{Claim, RunId};

/// Gives a message that a dead worker had in hand to another as soon as can be set.
fn impatient() -> Extra {
    Extra::new().env("RUNLATCH_ACK_WAIT", "1s").env("RUNLATCH_LANES", "1")
}

fn two_gateways(builder: Builder) -> Builder {
    mortal(builder.gateways(2), Extra::new(), impatient())
}

async fn dead(world: &World, name: &str) {
    eventually(&format!("{name} is dead"), async || {
        let process = world.stack.processes().into_iter().find(|process| process.name == name)?;
        (process.state == State::Stopped).then_some(())
    })
    .await;
}

/// Each key has exactly one row, with its own payload and nothing else; returns the rows.
async fn one_row_each(world: &World, keys: &[String]) -> Vec<harness::Run> {
    world.settled().await;
    let runs = world.runs().await;
    let found: Vec<_> = runs.iter().map(|run| (run.key.clone(), run.payload.clone())).collect();
    let mut expected: Vec<_> = keys.iter().map(|key| (key.clone(), payload(key))).collect();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(world.count("dead_letters").await, 0);
    assert_eq!(world.count("suspect_messages").await, 0);
    runs
}

/// Where a gateway dies, whether its caller has the answer by then, and how many messages it leaves behind.
const GATEWAY: [(&str, bool, u64); 4] =
    [("claimed", false, 0), ("sent", false, 1), ("acknowledged", false, 1), ("pause:marking", true, 1)];

#[tokio::test]
async fn a_gateway_dies() {
    let world = World::with(|builder| two_gateways(builder).restart(false)).await;
    let deploy = world.playbook("acme/deploy").await;
    let mut told = vec![];
    for (point, answered, messages) in GATEWAY {
        let key = point.replace(':', "-");
        let before = world.messages_ever().await;
        world.doom(Side::Gateway, point);
        let answer = world.try_send(deploy.delivery(&key)).await;
        assert_eq!(answer.is_ok(), answered, "{point}: {answer:?}");
        world.doomed(Side::Gateway).await;
        if answered {
            // Whoever was to mark stands still.
            world.stack.halt("gateway-1").await.expect("halts");
        }
        dead(&world, "gateway-1").await;

        // It has left a claim that promises nothing, so the retry publishes again.
        let claim: Option<Vec<u8>> = world.redis(redis::cmd("GET").arg(&redis_key(&world, &key).await[..])).await;
        assert_eq!(Claim::decode(&claim.expect("a claim")).expect("a claim").state, Claimed::Claimed, "{point}");
        let retried = world.send(deploy.delivery(&key).gateway(1)).await.replayed();
        if let Ok(answer) = answer {
            assert_eq!(answer.created(), retried);
        }
        eventually(&format!("{point}: {messages} and one more"), async || {
            (world.messages_ever().await == before + messages + 1).then_some(())
        })
        .await;
        world.send(deploy.delivery(&key).gateway(1).body("{}")).await.conflicts_with(retried.run);

        // Back again, it knows what it was told before it died, and by the other.
        world.marked(retried.run).await;
        world.stack.start("gateway-1").await.expect("starts");
        assert_eq!(world.send(deploy.delivery(&key)).await.replayed(), retried);
        world.send(deploy.delivery(&key).body("{}")).await.conflicts_with(retried.run);
        told.push((key, retried));
    }
    let keys: Vec<_> = told.iter().map(|(key, _)| key.clone()).collect();
    let runs = one_row_each(&world, &keys).await;
    for (key, answer) in told {
        let run = runs.iter().find(|run| run.key == key).expect("one row each");
        assert_eq!((run.id, &run.accepted_at), (answer.run, &answer.timestamp));
    }
    world.end().await;
}

async fn redis_key(world: &World, key: &str) -> [u8; Claim::KEY_LEN] {
    let scope = proto::Scope::Playbook(world.playbook_id("deploy").await);
    Claim::redis_key(RunId::compute(scope, &key.parse().expect("a key")))
}

/// Where a worker dies, how many of a batch's five rows are there then, and how many of its five messages.
const WORKER: [(&str, i64, u64); 5] =
    [("pulled", 0, 5), ("cleared", 0, 5), ("inserted", 0, 5), ("committed", 5, 5), ("acked", 5, 4)];

#[tokio::test]
async fn a_worker_dies() {
    let world = World::with(|builder| mortal(builder, Extra::new(), impatient()).restart(false)).await;
    let deploy = world.playbook("acme/deploy").await;
    let (mut keys, mut duplicates) = (vec![], 0);
    for (point, rows, messages) in WORKER {
        five_waiting(&world, &deploy, point, &mut keys).await;
        let before = world.count("runs").await;
        world.doom(Side::Worker, point);
        // It may be ready for a moment, or never.
        _ = world.stack.start("worker-1").await;
        world.doomed(Side::Worker).await;
        dead(&world, "worker-1").await;
        assert_eq!(world.count("runs").await, before + rows, "{point}");
        eventually(&format!("{point}: {messages} messages are left"), async || {
            (waiting(&world).await == messages).then_some(())
        })
        .await;
        world.stack.start("worker-1").await.expect("starts");
        one_row_each(&world, &keys).await;
        duplicates += if rows == 0 { 0 } else { messages };
        assert_eq!(settled(&world).await, (keys.len() as i64, duplicates as i64), "{point}");
    }
    unanswered_commits(&world, &deploy, &mut keys, duplicates as i64).await;
    world.end().await;
}

/// COMMIT is sent and not answered when the worker dies, or the connection: nobody knows whether it took place.
async fn unanswered_commits(world: &World, deploy: &Playbook, keys: &mut Vec<String>, duplicates: i64) {
    let database = world.login(Role::Superuser).await;
    // Makes every COMMIT wait while this session holds the lock.
    let sql = "
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON settled_sequences DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION wait();";
    database.batch_execute(sql).await.expect("a trigger");
    for takes_place in [true, false] {
        five_waiting(world, deploy, &format!("commit-{takes_place}"), keys).await;
        database.batch_execute("SELECT pg_advisory_lock(1)").await.expect("locked");
        world.stack.start("worker-1").await.expect("starts");
        let pid = eventually("COMMIT waits", async || {
            let sql = "SELECT pid FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event_type = 'Lock'";
            database.query_opt(sql, &[]).await.expect("an answer").map(|row| row.get::<_, i32>(0))
        })
        .await;
        world.stack.halt("worker-1").await.expect("halts");
        if !takes_place {
            database.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.expect("terminated");
        }
        database.batch_execute("SELECT pg_advisory_unlock(1)").await.expect("unlocked");
        let rows = keys.len() as i64 - if takes_place { 0 } else { 5 };
        eventually("the COMMIT of the dead is decided", async || {
            let gone = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'active'";
            let active: i64 = database.query_one(gone, &[&pid]).await.expect("a count").get(0);
            (active == 0 && world.count("runs").await == rows).then_some(())
        })
        .await;
        assert_eq!(waiting(world).await, 5);
        world.stack.start("worker-1").await.expect("starts");
        one_row_each(world, keys).await;
        assert_eq!(settled(world).await, (keys.len() as i64, duplicates + 5));
    }
}

/// With the worker stopped, five more messages of one delivery each.
async fn five_waiting(world: &World, deploy: &Playbook, name: &str, keys: &mut Vec<String>) {
    world.stack.stop("worker-1").await.expect("stops");
    for index in 0..5 {
        keys.push(format!("{name}-{index}"));
        world.send(deploy.delivery(keys.last().expect("just pushed"))).await.created();
    }
    assert_eq!(waiting(world).await, 5);
}

/// Messages in the stream.
async fn waiting(world: &World) -> u64 {
    let client = async_nats::connect(world.stack.nats_url()).await.expect("connects");
    let stream = async_nats::jetstream::new(client).get_stream(proto::queue::STREAM).await.expect("the stream");
    stream.cached_info().state.messages
}

/// Runs and duplicates, as recorded with the sequences.
async fn settled(world: &World) -> (i64, i64) {
    let sql = "SELECT sum(created), sum(duplicates) FROM settled_sequences";
    let row = world.database.query_one(sql, &[]).await.expect("a row");
    (row.get(0), row.get(1))
}

/// What kills workers does so five times alone and is then a dead letter, however many neighbours it had.
#[tokio::test]
async fn a_message_kills_workers() {
    let world = World::with(|builder| mortal(builder, Extra::new(), impatient())).await;
    let deploy = world.playbook("acme/deploy").await;
    let mut keys = vec![];
    five_waiting(&world, &deploy, "killer", &mut keys).await;
    world.doom(Side::Worker, "pulled");
    world.stack.start("worker-1").await.expect("starts, at the latest without an order");
    world.doomed(Side::Worker).await;
    // Together the second time, alone from then on. The order is another's to obey, since the file is gone by then.
    for point in ["pulled", "cleared", "cleared", "cleared", "cleared", "cleared"] {
        world.doom(Side::Worker, point);
        world.doomed(Side::Worker).await;
    }
    world.settled().await;
    let runs: Vec<_> = world.runs().await.into_iter().map(|run| run.key).collect();
    assert_eq!(runs, keys[1..]);
    let sql = "SELECT reason, detail, payload FROM dead_letters";
    let letter = world.database.query_one(sql, &[]).await.expect("one dead letter");
    assert_eq!((letter.get(0), letter.get(1)), ("poison_message", "begun 5 times alone and never finished"));
    assert!(String::from_utf8_lossy(letter.get(2)).contains(&payload(&keys[0])), "its bytes are not kept");
    assert_eq!(world.count("suspect_messages").await, 0);
    world.end().await;
}

/// Points at which both sides die in the midst of a burst; late enough that messages carry many deliveries.
const BURSTS: [(&str, &str); 5] = [
    ("claimed:50", "pulled:2"),
    ("sent:3", "inserted:2"),
    ("acknowledged:3", "committed:2"),
    ("marking:3", "acked:3"),
    ("claimed:200", "cleared:3"),
];
const KEYS: usize = 300;

#[tokio::test]
async fn both_die_in_a_burst() {
    let world = World::with(|builder| two_gateways(builder).workers(2)).await;
    let deploy = world.playbook("acme/deploy").await;
    let mut keys = vec![];
    let mut told = vec![];
    for (round, (gateway, worker)) in BURSTS.into_iter().enumerate() {
        world.doom(Side::Gateway, gateway);
        world.doom(Side::Worker, worker);
        let mut doomed = pin!(async { tokio::join!(world.doomed(Side::Gateway), world.doomed(Side::Worker)) });
        // How many messages a burst becomes is the machine's to say, so there are bursts until both have died.
        for burst in 0.. {
            let new: Vec<_> = (0..KEYS).map(|index| format!("{round}-{burst:03}-{index:03}")).collect();
            // Each twice at the same time, at different gateways.
            let sends = new.iter().enumerate().flat_map(|(nth, key)| [(nth % 2, key), (1 - nth % 2, key)]);
            told.extend(join_all(sends.map(|(gateway, key)| insist(&world, &deploy, gateway, key))).await);
            keys.extend(new);
            tokio::select! {
                biased;
                _ = &mut doomed => break,
                () = world.settled() => {}
            }
        }
        world.settled().await;
    }
    let runs = one_row_each(&world, &keys).await;
    for (key, answer) in &told {
        let run = &runs[keys.binary_search(key).expect("one of those sent")];
        assert_eq!((&run.key, run.id, &run.accepted_at), (key, answer.run, &answer.timestamp));
    }
    assert_eq!(told.len(), 2 * keys.len());
    assert!(world.messages_ever().await < told.len() as u64 / 2, "no messages of several deliveries");
    for name in ["gateway-1", "gateway-2"] {
        world.stack.ready(name).await.expect("is back");
    }
    for (key, answer) in told.iter().step_by(97) {
        world.send(deploy.delivery(key).body("{}")).await.conflicts_with(answer.run);
    }
    world.end().await;
}

/// Sends to either gateway in turn until there is a 2xx.
async fn insist(world: &World, deploy: &Playbook, first: usize, key: &str) -> (String, Success) {
    let mut gateway = first;
    let told = eventually("a 2xx", async || {
        let answer = world.try_send(deploy.delivery(key).gateway(gateway)).await;
        gateway = 1 - gateway;
        match answer.ok()? {
            answer if answer.status == 202 => Some(answer.created()),
            answer if answer.status == 200 => Some(answer.replayed()),
            answer => {
                answer.refused(503, "unavailable");
                None
            }
        }
    })
    .await;
    assert!(!told.deferred, "Redis was there all the time");
    (key.to_owned(), told)
}

/// Who arms a process by a point that it does not have is told which ones it has.
#[tokio::test]
async fn no_such_point() {
    let world = World::start().await;
    let armed = |point: &str| Extra::new().env("RUNLATCH_KILL_POINT", point);
    let refused = world.stack.add_gateway(&armed("pulled")).await.expect_err(IMMORTAL).to_string();
    assert!(refused.contains("exit status: 64"), "{refused}");
    assert!(refused.contains(r#""pulled" is not one of claimed, sent, acknowledged, marking"#), "{refused}");
    let refused = world.stack.add_worker(&armed("claimed")).await.expect_err(IMMORTAL).to_string();
    assert!(refused.contains(r#""claimed" is not one of pulled, cleared, inserted, committed, acked"#), "{refused}");
    // Armed from the start, and for ever.
    let name = world.stack.add_gateway(&armed("claimed:2")).await.expect("starts");
    let deploy = world.playbook("acme/deploy").await;
    world.send(deploy.delivery("first").gateway(1)).await.created();
    assert!(world.try_send(deploy.delivery("second").gateway(1)).await.is_err());
    assert!(world.stack.log(&name).contains("THIS PROCESS IS MADE TO DIE"));
    world.end().await;
}
