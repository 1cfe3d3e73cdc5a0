//! Dead letters as they come about, and what a worker makes of one that was closed.

use async_nats::jetstream::{self, AckKind, consumer::PullConsumer, stream::Stream};
use futures_util::StreamExt;
use futures_util::future::join_all;
use harness::{World, eventually, payload};
use local::Role;
use proto::envelope::{self, Delivery};
use proto::queue::{STREAM, consumer, subject};
use proto::{
    Fingerprint, OrganizationId, Payload, ProjectId, RunId, Scope, Selector, StreamEpoch, TemplateId, Timestamp,
};
use uuid::Uuid;

async fn superuser(world: &World) -> tokio_postgres::Client {
    let url = world.stack.database_url(Role::Superuser);
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("connects");
    tokio::spawn(connection);
    client
}

async fn stream(world: &World) -> (Stream, StreamEpoch) {
    let client = async_nats::connect(world.stack.nats_url()).await.expect("connects");
    let stream = jetstream::new(client).get_stream(STREAM).await.expect("the stream");
    let epoch = StreamEpoch::from_unix_nanos(stream.cached_info().created.unix_timestamp_nanos());
    (stream, epoch)
}

/// Id of the one open dead letter.
async fn open(world: &World) -> String {
    world.settled().await;
    let rows =
        world.database.query("SELECT id::text FROM dead_letters WHERE status = 'open'", &[]).await.expect("rows");
    assert_eq!(rows.len(), 1, "open dead letters");
    rows[0].get(0)
}

/// Sends again what was sent before, through a gateway that remembers nothing, until it is settled.
async fn redeliver(world: &World, delivery: harness::Delivery) {
    world.forget().await;
    world.send(delivery).await.created();
    world.settled().await;
}

/// Runs, and dead letters.
async fn counts(world: &World) -> (i64, i64) {
    (world.count("runs").await, world.count("dead_letters").await)
}

#[tokio::test]
async fn replayed_and_discarded() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let replay = async |args: &[&str]| world.stack.runlatch(&[&["dead-letters", "replay"], args].concat()).await;

    // Redis forgot that the key was taken. Not before it has its run, or another lane may give it to the other.
    world.send(deploy.delivery("conflict")).await.created();
    world.settled().await;
    let other = || deploy.delivery("conflict").body(payload("other"));
    redeliver(&world, other()).await;
    let id = open(&world).await;
    let listed = world.stack.runlatch(&["dead-letters", "list"]).await.expect("listed");
    assert!(listed.contains(&id) && listed.contains("idempotency_conflict  acme/deploy  conflict"), "{listed}");
    assert!(!listed.contains("canary"), "{listed}");
    replay(&[&id]).await.expect_err("its key is taken");
    let told = replay(&[&id, "--key", "conflict-2"]).await.expect("replayed");
    // A sender who uses that key finds it taken, or is its duplicate.
    let answer = world.send(deploy.delivery("conflict-2").body(payload("other"))).await.created();
    assert!(told.contains(&format!("replayed: run {}", answer.run)), "{told}");
    redeliver(&world, other()).await;
    assert_eq!(counts(&world).await, (2, 1), "what was closed settles a redelivery");

    // The target went while deliveries waited.
    world.stack.stop("worker-1").await.expect("stops");
    world.send(deploy.delivery("gone").query("project=side")).await.created();
    world.send(deploy.delivery("never").query("project=side")).await.created();
    let admin = superuser(&world).await;
    admin.batch_execute("DELETE FROM projects WHERE slug = 'side'").await.expect("deleted");
    world.stack.start("worker-1").await.expect("starts");
    world.settled().await;
    let discarded = "SELECT id::text FROM dead_letters WHERE idempotency_key = 'never'";
    let never: String = world.database.query_one(discarded, &[]).await.expect("buried").get(0);
    world.stack.runlatch(&["dead-letters", "discard", &never, "--yes"]).await.expect("discarded");
    let id = open(&world).await;
    replay(&["--all"]).await.expect_err("there is no project yet");
    world.stack.catalog(harness::CATALOG).await.expect("applied");
    // Whatever comes back, only the replay makes a run of it.
    eventually("the gateway knows the project again", async || {
        let answer = world.send(deploy.delivery("probe").query("project=side")).await;
        (answer.status == 202).then_some(())
    })
    .await;
    redeliver(&world, deploy.delivery("gone").query("project=side")).await;
    redeliver(&world, deploy.delivery("never").query("project=side")).await;
    assert_eq!(counts(&world).await, (3, 3), "the probe's run and no other");
    replay(&[&id]).await.expect("replayed");
    redeliver(&world, deploy.delivery("gone").query("project=side")).await;
    redeliver(&world, deploy.delivery("never").query("project=side")).await;
    assert_eq!(counts(&world).await, (4, 3));

    // It killed workers; then its sender sent it again, and that was read: the run is what it ended as.
    world.stack.stop("worker-1").await.expect("stops");
    let created = world.send(deploy.delivery("poison")).await.created();
    let (stream, epoch) = stream(&world).await;
    let consumer: PullConsumer = stream.get_consumer(&consumer(epoch)).await.expect("the consumer");
    let mut sequence = None;
    for _ in 0..3 {
        sequence = eventually("it is delivered", async || {
            let message =
                consumer.fetch().max_messages(1).messages().await.expect("a fetch").next().await?.expect("it");
            let sequence = message.info().expect("of a stream").stream_sequence;
            message.ack_with(AckKind::Nak(None)).await.expect("put back");
            Some(Some(sequence))
        })
        .await;
    }
    let begun = "INSERT INTO suspect_messages VALUES ($1, $2, 5)";
    let sequence = sequence.map(|sequence| sequence as i64);
    admin.execute(begun, &[&(epoch.0 as i64), &sequence]).await.expect("five died of it");
    world.stack.start("worker-1").await.expect("starts");
    let id = open(&world).await;
    redeliver(&world, deploy.delivery("poison")).await;
    let told = replay(&[&id]).await.expect("replayed");
    assert!(told.contains(&format!("replayed: run {}, which was there already", created.run)), "{told}");
    assert_eq!(counts(&world).await, (5, 4));
    world.end().await;
}

/// A replay and workers insert the same runs at the same moment: one of each, and nobody waits in a circle.
#[tokio::test]
async fn raced_by_workers() {
    const DELIVERIES: usize = 200;
    const ROUNDS: usize = 4;
    let world = World::with(|builder| builder.gateways(0).workers(2)).await;
    let admin = superuser(&world).await;
    let ids = "SELECT organization_id, id, project_id, template_id FROM playbooks WHERE slug = 'deploy'";
    let row = world.database.query_one(ids, &[]).await.expect("a playbook");
    let playbook = proto::PlaybookId(row.get(1));
    let jetstream = jetstream::new(async_nats::connect(world.stack.nats_url()).await.expect("connects"));
    for round in 0..ROUNDS {
        let bodies: Vec<String> = (0..DELIVERIES).map(|index| payload(&format!("{round}-{index}"))).collect();
        let delivery = |(index, body)| {
            let body: &String = body;
            let payload = Payload::parse(body.as_bytes()).expect("a payload");
            let idempotency_key = format!("{round}-{index}").parse().expect("a key");
            Delivery {
                run_id: RunId::compute(Scope::Playbook(playbook), &idempotency_key),
                organization_id: OrganizationId(row.get(0)),
                playbook_id: playbook,
                project_id: ProjectId(row.get(2)),
                template_id: TemplateId(row.get(3)),
                target: Selector::default(),
                fingerprint: Fingerprint::compute(playbook, &Selector::default(), &payload),
                idempotency_key,
                accepted_at: Timestamp::now(),
                request_id: None,
                traceparent: None,
                reply_to: None,
                payload,
            }
        };
        let encoded: Vec<_> = bodies.iter().enumerate().map(delivery).map(|delivery| delivery.encode()).collect();
        let message = envelope::encode(encoded.iter());
        let bury = "INSERT INTO dead_letters (identity, reason, detail, payload, stream_epoch, stream_sequence)
                    VALUES ($1, 'poison_message', '', $2, 1, 1) RETURNING id";
        let identity = proto::dead_letter::raw_identity(&message);
        let id: Uuid = admin.query_one(bury, &[&identity, &message.as_ref()]).await.expect("buried").get(0);
        let id = id.to_string();
        // In other messages, and in the other order, as soon as a replay has begun.
        let publish = async {
            eventually("a replay is at work", async || {
                let replaying = "SELECT FROM pg_stat_activity WHERE application_name = 'runlatch'";
                (admin.execute(replaying, &[]).await.expect("rows") > 0).then_some(())
            })
            .await;
            for part in encoded.rchunks(10) {
                let message = envelope::encode(part.iter().rev());
                jetstream.publish(subject(0), message).await.expect("sent").await.expect("acknowledged");
            }
        };
        let args = ["dead-letters", "replay", id.as_str()];
        let replays = join_all((0..2).map(|_| world.stack.runlatch(&args)));
        let (told, ()) = tokio::join!(replays, publish);
        for told in told {
            let told = told.expect("replayed");
            assert!(told.contains("200 deliveries") || told.contains("was replayed before: 200 runs"), "{told}");
        }
    }
    world.settled().await;
    assert_eq!(counts(&world).await, ((ROUNDS * DELIVERIES) as i64, ROUNDS as i64));
    // Each was made once, by one of the two.
    let made = "SELECT (SELECT sum(created) FROM settled_sequences) + (SELECT sum(replayed_runs) FROM dead_letters)";
    assert_eq!(
        world.database.query_one(made, &[]).await.expect("a sum").get::<_, i64>(0),
        (ROUNDS * DELIVERIES) as i64
    );
    world.end().await;
}
