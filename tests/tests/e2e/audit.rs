//! The audit: quiet while everything adds up, whatever goes on meanwhile, and loud about each thing that does not.

use async_nats::HeaderMap;
use async_nats::jetstream::{self, Context};
use futures_util::{StreamExt, stream};
use harness::{World, eventually, payload};
use local::{Extra, Role};
use proto::queue::{COUNT_HEADER, STREAM, subject};
use serde_json::Value;
use tokio_postgres::Client;

/// A system with a hand in its database that may do what no role of Runlatch may.
struct Audited {
    world: World,
    superuser: Client,
    jetstream: Context,
}

impl Audited {
    async fn with(worker: Extra) -> Self {
        let world = World::with(|builder| builder.workers(2).worker(worker)).await;
        let url = world.stack.database_url(Role::Superuser);
        let (superuser, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("connects");
        tokio::spawn(connection);
        let jetstream = jetstream::new(async_nats::connect(world.stack.nats_url()).await.expect("connects"));
        Self { world, superuser, jetstream }
    }

    /// Exit code, and what it wrote to both.
    async fn run(&self, args: &[&str]) -> (i32, String) {
        let args = [&["audit"], args].concat();
        let output = self.world.stack.runlatch_as(Role::Operator, &args, "").await.expect("it ends");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().expect("it ends by itself"), String::from_utf8(text).expect("UTF-8"))
    }

    #[track_caller]
    fn parse(&self, text: &str) -> Value {
        serde_json::from_str(text.lines().next().expect("a line")).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Fails unless everything adds up; the findings on the stream that is there.
    async fn adds_up(&self, args: &[&str]) -> Value {
        let (code, text) = self.run(&[args, &["--json"]].concat()).await;
        assert_eq!(code, 0, "{text}");
        let findings = self.parse(&text);
        assert_eq!(findings["addsUp"], true);
        let streams = findings["streams"].as_array().expect("streams");
        streams.iter().find(|stream| stream["current"] == true).expect("a current one").clone()
    }

    /// Fails unless it says that and nothing else.
    async fn violated(&self, args: &[&str], violation: &str) {
        let (code, text) = self.run(&[args, &["--json"]].concat()).await;
        let findings = self.parse(&text);
        let violations = findings["violations"].as_array().expect("violations");
        let found: Vec<&str> = violations.iter().map(|text| text.as_str().expect("text")).collect();
        assert!(code == 1 && found.len() == 1 && found[0].contains(violation), "{violation}: {code} {found:?}");
    }

    async fn sql(&self, statement: &str) {
        self.superuser.batch_execute(statement).await.expect(statement);
    }

    async fn epoch(&self) -> String {
        self.adds_up(&["--epoch", "current"]).await["epoch"].to_string()
    }

    /// Leaves the stream to nobody.
    async fn stop_workers(&self) {
        tokio::try_join!(self.world.stack.stop("worker-1"), self.world.stack.stop("worker-2")).expect("they stop");
    }

    async fn start_workers(&self) {
        tokio::try_join!(self.world.stack.start("worker-1"), self.world.stack.start("worker-2")).expect("they start");
    }
}

/// Batches are committed, acked and compacted, a worker dies and another comes: at no moment does it find fault.
#[tokio::test]
async fn quiet_while_the_system_runs() {
    const DELIVERIES: usize = 6000;
    let worker = Extra::new().env("RUNLATCH_COMPACT_INTERVAL", "1s").env("RUNLATCH_BATCH_MESSAGES", "2");
    let audited = Audited::with(worker.env("RUNLATCH_ACK_WAIT", "2s")).await;
    let world = &audited.world;
    let deploy = world.playbook("acme/deploy").await;
    assert_eq!(audited.adds_up(&[]).await["last"], 0);
    let sends = stream::iter(0..DELIVERIES).map(|index| world.send(deploy.delivery(&(index % 5900).to_string())));
    let burst = sends.buffer_unordered(20).for_each(async |answer| assert!(matches!(answer.status, 200 | 202)));
    let (mut audits, mut rows) = (0, 0);
    let watch = async {
        loop {
            let stream = audited.adds_up(&["--count-runs"]).await;
            rows = rows.max(stream["rows"].as_i64().expect("a number"));
            audits += 1;
            if audits == 4 {
                world.stack.kill("worker-2").await.expect("killed");
            }
        }
    };
    tokio::select! {
        () = burst => {}
        () = watch => {}
    }
    world.settled().await;
    let stream = eventually("all is kept in one row", async || {
        let stream = audited.adds_up(&["--count-runs"]).await;
        (stream["rows"] == 1).then_some(stream)
    })
    .await;
    assert!(audits >= 4 && rows > 1, "{audits} audits while it ran, of {rows} rows at most");
    assert_eq!(stream["settled"], stream["last"]);
    assert_eq!(stream["last"].as_u64(), Some(world.messages_ever().await));
    assert_eq!((stream["created"].as_i64(), world.count("runs").await), (Some(5900), 5900));

    // A broker that comes back knows how far an empty stream had gone.
    for killed in [false, true] {
        if killed {
            world.stack.kill("nats").await.expect("killed");
        } else {
            world.stack.restart("nats").await.expect("restarts");
        }
        for process in ["nats", "gateway-1", "worker-1"] {
            world.stack.ready(process).await.expect("comes back");
        }
        assert_eq!(audited.adds_up(&[]).await["last"], stream["last"], "killed: {killed}");
    }
    eventually("deliveries are accepted again", async || {
        let answer = world.send(deploy.delivery("afterwards")).await;
        (answer.status != 503).then_some(())
    })
    .await;
    world.settled().await;
    assert_eq!(audited.adds_up(&["--count-runs"]).await["created"], 5901);
    behind_one_that_stays(&audited).await;
    audited.world.end().await;
}

/// A message that is put back and back makes a hole in the stream of each that is acked behind it, and the broker lists
/// them one by one.
async fn behind_one_that_stays(audited: &Audited) {
    const HOLES: usize = 20_000;
    let publish = async |message: &'static str| {
        let sent = audited.jetstream.publish(subject(0), message.into()).await.expect("sent");
        sent.await.expect("acknowledged");
    };
    let before = audited.adds_up(&[]).await["last"].as_i64().expect("a number");
    publish(r#"{"v":2,"deliveries":[]}"#).await;
    let behind = stream::iter(0..HOLES).map(|_| publish("unreadable"));
    behind.buffer_unordered(500).collect::<()>().await;
    let last = before + 1 + HOLES as i64;
    eventually("all but one are settled", async || {
        let stream = audited.adds_up(&[]).await;
        assert_eq!(stream["last"], last);
        (stream["waiting"] == 1 && stream["settled"] == last - 1).then_some(())
    })
    .await;
}

/// Each thing that can be wrong is found, by itself, and named.
#[tokio::test]
async fn loud_about_what_does_not_add_up() {
    let audited = Audited::with(Extra::new()).await;
    let world = &audited.world;
    let deploy = world.playbook("acme/deploy").await;
    for index in 0..6 {
        world.send(deploy.delivery(&index.to_string())).await.created();
        world.settled().await;
    }
    world.forget().await;
    world.send(deploy.delivery("0").body(payload("conflict"))).await.created();
    world.settled().await;
    let stream = audited.adds_up(&["--count-runs"]).await;
    assert_eq!((stream["settled"].as_i64(), stream["deadLetters"].as_i64()), (Some(7), Some(1)));
    let epoch = audited.epoch().await;

    // What was recorded is taken back, or altered.
    audited.sql("CREATE TABLE kept AS SELECT * FROM settled_sequences WHERE sequences @> 3::int8").await;
    audited.sql("DELETE FROM settled_sequences WHERE sequences @> 3::int8").await;
    audited.violated(&[], "1 messages are neither settled nor in the stream: 3 (").await;
    audited.sql("INSERT INTO settled_sequences OVERRIDING SYSTEM VALUE SELECT * FROM kept").await;
    for column in ["created", "announced"] {
        audited.sql(&format!("UPDATE settled_sequences SET {column} = {column} + 1 WHERE sequences @> 3::int8")).await;
        audited.violated(&[], "messages 3 announced ").await;
        audited.sql(&format!("UPDATE settled_sequences SET {column} = {column} - 1 WHERE sequences @> 3::int8")).await;
    }
    // Rows go that were made, or come that nobody made.
    audited.sql("CREATE TABLE kept_letters AS SELECT * FROM dead_letters; DELETE FROM dead_letters").await;
    audited.violated(&[], "1 dead letters were written and 0 are there").await;
    audited.sql("INSERT INTO dead_letters SELECT * FROM kept_letters").await;
    audited.sql("CREATE TABLE kept_runs AS SELECT * FROM runs WHERE idempotency_key = '3'").await;
    audited.sql("DELETE FROM runs WHERE idempotency_key = '3'").await;
    audited.adds_up(&[]).await;
    audited.violated(&["--count-runs"], "6 runs were made and 5 are there").await;
    audited.sql("INSERT INTO runs SELECT * FROM kept_runs").await;
    // The end of the stream was lost, and with it the memory of which numbers were given out.
    let ahead = "VALUES (1, 0, 0, 1, 0)";
    let ahead = format!(
        "INSERT INTO settled_sequences (stream_epoch, sequences, created, duplicates, dead_letters, announced, buried)
         SELECT {epoch}, '{{[12,13)}}', * FROM ({ahead}) AS counts"
    );
    audited.sql(&ahead).await;
    audited.violated(&[], "sequence 12 was settled and the stream ends at 7").await;
    audited.sql("DELETE FROM settled_sequences WHERE sequences @> 12::int8").await;
    audited.adds_up(&["--count-runs"]).await;

    // A replay makes runs and dead letters of its own, and both are accounted for.
    let id: String = world.database.query_one("SELECT id::text FROM dead_letters", &[]).await.expect("one").get(0);
    world.stack.runlatch(&["dead-letters", "replay", &id, "--key", "other"]).await.expect("replayed");
    audited.adds_up(&["--count-runs"]).await;

    // A message for newer workers is put back, and waits; those after it are settled.
    let too_new = r#"{"v":2,"deliveries":[]}"#;
    audited.jetstream.publish(subject(0), too_new.into()).await.expect("sent").await.expect("acknowledged");
    world.send(deploy.delivery("after")).await.created();
    eventually("it alone waits", async || {
        let stream = audited.adds_up(&[]).await;
        (stream["waiting"] == 1 && stream["settled"] == 8).then_some(())
    })
    .await;
    // Purged by hand, it is gone, and so are others that nobody has seen.
    audited.stop_workers().await;
    for key in ["x", "y"] {
        world.send(deploy.delivery(key)).await.created();
    }
    assert_eq!(audited.adds_up(&[]).await["waiting"], 3);
    // What waits cannot be acknowledged, nor what was settled: it could be lost later, and nobody would hear of it.
    let acknowledge = |sequences| ["acknowledge", epoch.as_str(), sequences, "--note", "purged on purpose"];
    let refuses = async |sequences: &str, well: &str| {
        let (code, text) = audited.run(&["acknowledge", &epoch, sequences, "--note", "mistyped"]).await;
        let told =
            format!("nothing is acknowledged: in the stream of epoch {epoch} the audit reports nothing of {well}\n");
        assert!(code == 1 && text.ends_with(&told), "{sequences}: {code} {text}");
    };
    refuses("10", "10").await;
    refuses("7-11", "7-11").await;
    let stream = audited.jetstream.get_stream(STREAM).await.expect("the stream");
    stream.delete_message(10).await.expect("deleted");
    audited.violated(&[], "1 messages are neither settled nor in the stream: 10 (").await;
    refuses("10-11", "11").await;
    refuses("1-5000", "1-9, 11-5000").await;
    stream.purge().await.expect("purged");
    audited.violated(&[], "3 messages are neither settled nor in the stream: 8, 10-11 (").await;
    assert_eq!(audited.run(&acknowledge("8")).await.0, 0);
    audited.violated(&[], "2 messages are neither settled nor in the stream: 10-11 (").await;
    assert_eq!(audited.run(&acknowledge("10-11")).await.0, 0);
    let found = audited.adds_up(&[]).await;
    assert_eq!((found["acknowledged"].as_i64(), found["settled"].as_i64()), (Some(3), Some(8)));
    // Nor can what is still to come, or never was.
    refuses("12", "12").await;
    let (code, text) = audited.run(&["acknowledge", "12", "1-2", "--note", "mistyped"]).await;
    assert!(code == 1 && text.contains("nothing is recorded of a stream with that epoch"), "{text}");
    let (code, text) = audited.run(&["acknowledge", &epoch, "--note", "all of it"]).await;
    assert!(code == 1 && text.contains("name the sequences"), "{text}");

    // A message that holds other than it announces.
    let mut headers = HeaderMap::new();
    headers.insert(COUNT_HEADER, "2");
    audited.start_workers().await;
    let lying = sent_again(&audited, headers).await;
    world.settled().await;
    audited.violated(&[], &format!("messages {lying} announced 2 deliveries, and 1 were settled")).await;
    refuses(&format!("{lying}-{}", lying + 1), &(lying + 1).to_string()).await;
    assert_eq!(audited.run(&acknowledge(&lying.to_string())).await.0, 0);
    audited.adds_up(&[]).await;

    // The stream is lost.
    audited.jetstream.delete_stream(STREAM).await.expect("deleted");
    eventually("there is another", async || {
        let (code, text) = audited.run(&["--epoch", "current", "--json"]).await;
        (code == 0 && !text.contains(&epoch)).then_some(())
    })
    .await;
    audited.violated(&[], &format!("epoch {epoch}: that stream is gone. Settled up to {lying}; ")).await;
    audited.violated(&["--epoch", &epoch], "that stream is gone").await;
    audited.sql("UPDATE settled_sequences SET sequences = sequences - '{[5,6)}'").await;
    audited.violated(&[], "1 messages before it were not: 5; ").await;
    let beyond = (lying + 1).to_string();
    let (code, text) = audited.run(&["acknowledge", &epoch, &beyond, "--note", "not of it"]).await;
    assert!(code == 1 && text.ends_with(&format!("the audit reports nothing of {beyond}\n")), "{text}");
    let (code, text) = audited.run(&["acknowledge", &epoch, "--note", "every sender has sent again"]).await;
    assert!(code == 0 && text.contains("acknowledged: the stream of epoch"), "{text}");
    audited.adds_up(&["--count-runs"]).await;
    let (code, text) = audited.run(&[]).await;
    assert!(code == 0 && text.ends_with("everything adds up\n"), "{text}");

    // Another, of which nothing was settled yet.
    let epoch = audited.epoch().await;
    let known = format!("SELECT FROM settled_sequences WHERE stream_epoch = {epoch}");
    eventually("it is known", async || (audited.superuser.execute(&known, &[]).await.expect("rows") > 0).then_some(()))
        .await;
    audited.stop_workers().await;
    eventually("it takes a delivery", async || (world.send(deploy.delivery("z")).await.status == 202).then_some(()))
        .await;
    audited.jetstream.delete_stream(STREAM).await.expect("deleted");
    audited.start_workers().await;
    eventually("there is another", async || {
        let (code, text) = audited.run(&["--epoch", "current", "--json"]).await;
        (code == 0 && !text.contains(&epoch)).then_some(())
    })
    .await;
    audited
        .violated(&[], &format!("epoch {epoch}: that stream is gone. Settled up to 0; what came after nobody knows"))
        .await;

    // A standby would show what was so at some time before.
    let signal = world.stack.directory().join("postgres/data/standby.signal");
    world.stack.stop("postgres").await.expect("stops");
    std::fs::write(&signal, "").expect("written");
    world.stack.start("postgres").await.expect("starts");
    for args in [["--epoch", "all"].as_slice(), &["acknowledge", &epoch, "1", "--note", "x"]] {
        let (code, text) = audited.run(args).await;
        assert!(code == 69 && text.contains("this Postgres is a standby"), "{args:?}: {code} {text}");
    }
    std::fs::remove_file(&signal).expect("removed");
    world.stack.restart("postgres").await.expect("restarts");

    // Who cannot look says so, and neither the one nor the other.
    let (code, text) = audited.run(&["--epoch", "12"]).await;
    assert!(code == 69 && text.contains("nothing is recorded of a stream with that epoch"), "{text}");
    audited.stop_workers().await;
    audited.jetstream.delete_stream(STREAM).await.expect("deleted");
    let (code, text) = audited.run(&[]).await;
    assert!(code == 69 && text.contains("there is no stream RUNS"), "{text}");
    for server in ["nats", "postgres"] {
        world.stack.halt(server).await.expect("halts");
        let (code, text) = audited.run(&[]).await;
        assert!(code == 69 && text.contains("nothing was audited: cannot reach "), "{server}: {text}");
        assert!(!text.contains("DOES NOT"), "{text}");
    }
    audited.world.end().await;
}

/// Publishes a message that was settled before, under other headers; returns its sequence.
async fn sent_again(audited: &Audited, headers: HeaderMap) -> u64 {
    let row = audited.superuser.query_one(
        "SELECT convert_to(json_build_object('v', 1, 'deliveries', json_build_array(json_build_object(
             'runId', id, 'organizationId', organization_id, 'playbookId', playbook_id, 'projectId', project_id,
             'templateId', template_id, 'idempotencyKey', idempotency_key, 'fingerprint', encode(fingerprint, 'hex'),
             'acceptedAt', to_char(accepted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),
             'payload', payload)))::text, 'UTF8') FROM runs WHERE idempotency_key = '3'",
        &[],
    );
    let message: Vec<u8> = row.await.expect("a run").get(0);
    let sent = audited.jetstream.publish_with_headers(subject(0), headers, message.into()).await.expect("sent");
    sent.await.expect("acknowledged").sequence
}
