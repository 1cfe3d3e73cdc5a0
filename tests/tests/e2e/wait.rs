//! Who prefers to wait is answered when the run is committed.

use std::time::{Duration, Instant};

use harness::raw::Raw;
use harness::{Answer, Delivery, Side, World, eventually, mortal};
use local::{Extra, Role};
use tokio::time::timeout;

/// Much longer than a commit takes, and much shorter than the longest wait.
const SOON: Duration = Duration::from_secs(30);

fn waiting(delivery: Delivery, seconds: &str) -> Delivery {
    delivery.header("prefer", format!("wait={seconds}"))
}

/// Waits until so many callers wait at the first gateway.
async fn callers_wait(world: &World, count: f64) {
    eventually("callers wait", async || {
        (world.metric("gateway-1", "runlatch_gateway_waiting").await == Some(count)).then_some(())
    })
    .await;
}

fn applied(answer: &Answer) -> Option<&str> {
    answer.header("preference-applied")
}

#[tokio::test]
async fn until_it_is_committed() {
    let world = World::with(|builder| builder.gateways(2)).await;
    let deploy = world.playbook("acme/deploy").await;
    let since = Instant::now();
    for index in 0..20 {
        let key = format!("k{index}");
        let answer = world.send(waiting(deploy.delivery(&key), "60").gateway(index % 2)).await;
        assert_eq!(applied(&answer), Some("wait=60"));
        let committed = answer.committed();
        // Not soon: it is there.
        let runs = world.runs().await;
        let run = runs.iter().find(|run| run.id == committed.run).expect("the row is there when the answer is");
        assert_eq!(run.accepted_at, committed.timestamp);
        assert_eq!(world.send(deploy.run(committed.run)).await.run_status()["status"], "created");
        // Or a retry is helped.
        world.marked(committed.run).await;
        // A replay that waits is told by the row, at whichever gateway; one that does not is told what it always was.
        let answer = world.send(waiting(deploy.delivery(&key), "60").gateway(1 - index % 2)).await;
        assert_eq!(applied(&answer), Some("wait=60"));
        assert_eq!(answer.replayed(), committed);
        let answer = world.send(deploy.delivery(&key)).await;
        assert_eq!(applied(&answer), None);
        assert_eq!(answer.replayed(), committed);
    }
    assert!(since.elapsed() < SOON, "twenty took {:?}", since.elapsed());
    assert_eq!(world.messages_ever().await, 20, "a replay was told by the row");
    let answer = world.send(deploy.delivery("unasked").header("prefer", "respond-async, wait=0")).await;
    assert_eq!(applied(&answer), None);
    answer.created();
    callers_wait(&world, 0.0).await;
    world.end().await;
}

#[tokio::test]
async fn until_the_time_is_up() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    world.stack.stop("worker-1").await.expect("stops");
    let since = Instant::now();
    let answer = world.send(waiting(deploy.delivery("early"), "1")).await;
    assert!((Duration::from_secs(1)..SOON).contains(&since.elapsed()), "{:?}", since.elapsed());
    assert_eq!(applied(&answer), Some("wait=1"));
    let early = answer.created();
    world.marked(early.run).await;

    // A new one, a replay of what is queued, and the same again: all are told once the worker is there.
    let all = async {
        tokio::join!(
            world.send(waiting(deploy.delivery("late"), "60")),
            world.send(waiting(deploy.delivery("early"), "60")),
            world.send(waiting(deploy.delivery("early"), "60")),
        )
    };
    let start = async {
        callers_wait(&world, 3.0).await;
        world.stack.start("worker-1").await.expect("starts");
    };
    let since = Instant::now();
    let ((late, first, second), ()) = tokio::join!(all, start);
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    late.committed();
    for replay in [first, second] {
        assert_eq!(applied(&replay), Some("wait=60"));
        assert_eq!(replay.replayed(), early);
    }
    world.settled().await;
    assert_eq!((world.count("runs").await, world.count("dead_letters").await), (2, 0));

    // Postgres away: as if nobody had waited, when the time is up.
    world.stack.halt("postgres").await.expect("halts");
    let answer = world.send(waiting(deploy.delivery("away"), "1")).await;
    assert_eq!(applied(&answer), Some("wait=1"));
    answer.created();
    world.send(waiting(deploy.delivery("early"), "1")).await.replayed();
    world.stack.start("postgres").await.expect("starts");
    world.end().await;
}

/// What the worker finds is answered as what the gateway finds.
#[tokio::test]
async fn refused_for_good() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let admin = world.login(Role::Superuser).await;
    let taken = world.send(waiting(deploy.delivery("taken"), "60")).await.committed();
    world.forget().await;
    // Redis would have it; the row is another's.
    let answer = world.send(waiting(deploy.delivery("taken").body("{}"), "60")).await;
    assert_eq!(applied(&answer), Some("wait=60"));
    answer.conflicts_with(taken.run);
    // Not even Redis objects to it any more.
    world.send(waiting(deploy.delivery("taken").body("{}"), "60")).await.conflicts_with(taken.run);
    world.forget().await;
    // The same again is no new run, and its time is the first one's.
    assert_eq!(world.send(waiting(deploy.delivery("taken"), "60")).await.replayed(), taken);

    // Postgres says in its own log which row it refuses.
    let bad = || deploy.delivery("bad").body("{}");
    admin.batch_execute("ALTER TABLE runs ADD CHECK (idempotency_key <> 'bad')").await.expect("added");
    world.send(waiting(bad(), "60")).await.refused(422, "data_refused");
    world.send(waiting(bad(), "60")).await.refused(422, "data_refused");
    world.send(bad()).await.replayed();

    world.stack.stop("worker-1").await.expect("stops");
    let gone = async || world.send(waiting(deploy.delivery("gone").query("project=side"), "60")).await;
    let remove = async {
        callers_wait(&world, 1.0).await;
        admin.batch_execute("DELETE FROM projects WHERE slug = 'side'").await.expect("deleted");
        world.stack.start("worker-1").await.expect("starts");
    };
    let (answer, ()) = tokio::join!(gone(), remove);
    assert_eq!(applied(&answer), Some("wait=60"));
    answer.refused(422, "target_not_found");
    eventually("the gateway knows that it is gone", async || {
        (world.send(deploy.delivery("probe").query("project=side")).await.status == 422).then_some(())
    })
    .await;
    // Known, and told of it by the dead letter, although nothing could be published for it any more.
    gone().await.refused(422, "target_not_found");
    world.settled().await;
    // The gateway may have been asked for the probe before it knew.
    let dead = "SELECT count(*) FROM dead_letters WHERE idempotency_key <> 'probe'";
    let dead: i64 = world.database.query_one(dead, &[]).await.expect("a count").get(0);
    assert_eq!((world.count("runs").await, dead), (1, 3));
    world.end().await;
}

/// Who hangs up has sent all the same; who is one too many is answered at once; who waits when the gateway stops, then.
#[tokio::test]
async fn waiters_come_and_go() {
    let few = Extra::new().env("RUNLATCH_MAX_WAITING", "1");
    let world = World::with(|builder| builder.gateway(few)).await;
    let deploy = world.playbook("acme/deploy").await;
    world.stack.stop("worker-1").await.expect("stops");

    let mut raw = Raw::connect(&world.stack.url()).await;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nx-webhook-secret: {}\r\nx-idempotency-key: gone\r\nprefer: wait=60\r\ncontent-length: 2\r\n\r\n{{}}",
        deploy.path, deploy.secret
    );
    assert!(raw.send(head).await);
    callers_wait(&world, 1.0).await;
    let since = Instant::now();
    let answer = world.send(waiting(deploy.delivery("more"), "60")).await;
    assert!(since.elapsed() < SOON && applied(&answer).is_none(), "{answer:?}");
    answer.created();
    drop(raw);
    callers_wait(&world, 0.0).await;

    let stop = async {
        callers_wait(&world, 1.0).await;
        world.stack.stop("gateway-1").await.expect("stops")
    };
    let since = Instant::now();
    let (answer, _) = tokio::join!(world.send(waiting(deploy.delivery("last"), "60")), stop);
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    assert_eq!(applied(&answer), None);
    answer.created();
    world.stack.start("gateway-1").await.expect("starts");
    world.stack.start("worker-1").await.expect("starts");
    world.settled().await;
    let mut keys: Vec<_> = world.runs().await.into_iter().map(|run| run.key).collect();
    keys.sort();
    assert_eq!(keys, ["gone", "last", "more"]);
    world.end().await;
}

/// A worker that dies between commit and reply leaves that to the next one, who finds a duplicate; and it is no retry's.
#[tokio::test]
async fn the_worker_dies_before_it_tells() {
    let impatient = Extra::new().env("RUNLATCH_ACK_WAIT", "2s");
    let world = World::with(|builder| mortal(builder, Extra::new(), impatient)).await;
    let deploy = world.playbook("acme/deploy").await;
    world.doom(Side::Worker, "committed");
    let answer = world.send(waiting(deploy.delivery("k"), "60")).await;
    world.doomed(Side::Worker).await;
    let committed = answer.committed();
    assert_eq!(world.only_run().await.id, committed.run);
    world.end().await;
}

/// Nobody else's reply, and nothing that is none, tells who waits.
#[tokio::test]
async fn replies_go_where_they_should() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let client = async_nats::connect(world.stack.nats_url()).await.expect("connects");
    let mut heard = client.subscribe("_INBOX.>").await.expect("subscribes");
    client.flush().await.expect("flushed");
    let committed = world.send(waiting(deploy.delivery("k"), "60")).await.committed();
    let reply = timeout(SOON, async {
        loop {
            let message = futures_util::StreamExt::next(&mut heard).await.expect("a message");
            if let Some(reply) = proto::reply::Reply::decode(&message.payload) {
                return (message.subject, reply);
            }
        }
    });
    let (subject, reply) = reply.await.expect("a reply");
    assert_eq!(reply.run_id.0, committed.run);

    world.stack.stop("worker-1").await.expect("stops");
    let inbox = subject.as_str().rsplit_once('.').expect("a number").0.to_owned();
    let lie = async {
        callers_wait(&world, 1.0).await;
        let other = proto::reply::Reply::new(proto::RunId(uuid::Uuid::nil()), proto::reply::Outcome::Created).encode();
        for number in 0..100 {
            client.publish(format!("{inbox}.{number}"), other.clone().into()).await.expect("published");
            client.publish(format!("{inbox}.{number}"), "nonsense".into()).await.expect("published");
        }
        client.publish(format!("{inbox}.x"), other.into()).await.expect("published");
        client.flush().await.expect("flushed");
        callers_wait(&world, 1.0).await;
        world.stack.start("worker-1").await.expect("starts");
    };
    let (answer, ()) = tokio::join!(world.send(waiting(deploy.delivery("k2"), "60")), lie);
    answer.committed();
    world.end().await;
}
