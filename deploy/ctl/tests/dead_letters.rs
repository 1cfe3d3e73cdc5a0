//! What becomes of a dead letter, by its reason. That workers write them so, and heed them, is shown end to end.

mod races;

use proto::{Selector, dead_letter::Reason};

use crate::{
    database::Database,
    letters::{CANARY, CATALOG, Playbook, bury, bury_message, ending, insert_run, json, message, payload},
};

const RUNS: &str = "SELECT idempotency_key, payload FROM runs ORDER BY 1";
const OPEN: &str = "SELECT count(*) FROM dead_letters WHERE status = 'open'";

async fn catalog() -> Database {
    let database = Database::migrated().await;
    database.apply(CATALOG).ok();
    database
}

fn target(project: &str) -> Selector {
    Selector { project: Some(project.parse().unwrap()), template: None }
}

/// What the assertions below compare with.
fn done(code: i32, ending: &str, runs: &[proto::RunId]) -> (i32, String, Vec<String>) {
    (code, ending.to_owned(), runs.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn a_conflict_becomes_a_run_under_another_key_in_its_scope() {
    let database = catalog().await;
    let admin = database.admin().await;
    for organization in ["acme", "globex"] {
        let playbook = Playbook::of(&database, organization).await;
        let (first, second, third) = (payload("first"), payload("second"), payload("third"));
        let [taken, other] = ["taken", "other"].map(|key| playbook.delivery(key, Selector::default(), &first));
        insert_run(&admin, &taken).await;
        insert_run(&admin, &other).await;
        let conflict = playbook.delivery("taken", Selector::default(), &second);
        let id = bury(&database, Reason::IdempotencyConflict, &conflict).await;
        let replay = |more: &[&str]| ending(&database, &[&["replay", id.as_str()], more].concat());

        assert_eq!(replay(&[]), done(1, "unchanged", &[]));
        assert_eq!(replay(&["--key", "other"]), done(1, "unchanged", &[]), "another run's");
        let new = playbook.run_id("new");
        assert_eq!(replay(&["--key", "new", "--dry-run"]), done(0, "replayed", &[new]));
        let there = format!("SELECT count(*) FROM runs WHERE id = '{new}'");
        assert_eq!(database.query(&there).await, "0", "a dry run");
        // The same content was sent under that key as well, and buried: it has a dead letter of its own.
        let twin = playbook.delivery("twin", Selector::default(), &second);
        let twin = bury(&database, Reason::TargetNotFound, &twin).await;
        assert_eq!(replay(&["--key", "twin"]), done(1, "unchanged", &[]));
        database.run(&["dead-letters", "replay", &twin]).ok();

        assert_eq!(replay(&["--key", "new"]), done(0, "replayed", &[new]));
        for again in [["--key", "new"].as_slice(), &[], &["--dry-run"]] {
            assert_eq!(replay(again), done(0, "replayed_before", &[new]));
        }
        assert_eq!(replay(&["--key", "newer"]), done(1, "unchanged", &[]), "it has its run");
        let row = format!(
            "SELECT idempotency_key, payload, fingerprint = '\\x{}' FROM runs WHERE id = '{new}'",
            String::from(conflict.fingerprint)
        );
        assert_eq!(database.query(&row).await, format!("new {second} t"));
        let closed = format!(
            "SELECT status, replayed_run_id, replayed_key, replayed_runs, closed_by LIKE 'login%' FROM dead_letters WHERE id = '{id}'"
        );
        assert_eq!(database.query(&closed).await, format!("replayed {new} new 1 t"));

        // Where its own key is free, the run that its sender was told of can still come true.
        let free = playbook.delivery("free", Selector::default(), &third);
        let free = bury(&database, Reason::TargetNotFound, &free).await;
        assert_eq!(ending(&database, &["replay", &free, "--key", "new2"]), done(1, "unchanged", &[]));
        // Two deliveries of one content are two runs: another's run is not the end of this one.
        let again = playbook.delivery("other", Selector::default(), &third);
        let again = bury(&database, Reason::IdempotencyConflict, &again).await;
        let made = playbook.run_id("free");
        assert_eq!(ending(&database, &["replay", &free]), done(0, "replayed", &[made]));
        assert_eq!(ending(&database, &["replay", &again, "--key", "free"]), done(1, "unchanged", &[]));
        let fresh = playbook.run_id("fresh");
        assert_eq!(ending(&database, &["replay", &again, "--key", "fresh"]), done(0, "replayed", &[fresh]));
        let count = format!("SELECT replayed_runs FROM dead_letters WHERE id IN ('{free}', '{again}')");
        assert_eq!(database.query(&count).await, "1\n1");
    }
}

#[tokio::test]
async fn a_target_is_found_again_or_the_letter_stays_open() {
    let database = catalog().await;
    let playbook = Playbook::of(&database, "acme").await;
    let admin = database.admin().await;
    let text = payload("one");
    // Accepted for a project that has gone; its name was in the URL, or it was the playbook's own.
    let mut named = playbook.delivery("named", target("side"), &text);
    let mut own = playbook.delivery("own", Selector::default(), &text);
    named.project_id.0 = uuid::Uuid::new_v4();
    own.project_id.0 = uuid::Uuid::new_v4();
    // One that is there after all, under another name than then.
    let kept = playbook.delivery("kept", target("renamed-since"), &text);
    let mut orphan = playbook.delivery("orphan", Selector::default(), &text);
    orphan.playbook_id.0 = uuid::Uuid::new_v4();
    // Beyond what Postgres' parser takes.
    let deep = format!("{{\"{CANARY}\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = playbook.delivery("deep", Selector::default(), &deep);
    let mut ids = Vec::new();
    for delivery in [&named, &own, &kept, &orphan] {
        ids.push(bury(&database, Reason::TargetNotFound, delivery).await);
    }
    ids.push(bury(&database, Reason::DataRefused, &deep).await);

    let endings = |code| {
        let (found, lines) = json(&database, &["replay", "--all"]);
        assert_eq!(found, code, "{lines:?}");
        lines
            .iter()
            .map(|line| format!("{}: {}", line["ending"].as_str().unwrap(), line["detail"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let run = |delivery: &proto::envelope::Delivery<'_>| format!("replayed: run {}", delivery.run_id);
    let stays = [
        "unchanged: its organization still has no project side".to_owned(),
        "unchanged: its playbook is gone, and no other can stand in for it".to_owned(),
        "unchanged: PostgreSQL refuses the row: SQLSTATE 54001".to_owned(),
    ];
    assert_eq!(endings(1), [&stays[..1], &[run(&own), run(&kept)], &stays[1..]].concat());
    database.apply(&format!("{CATALOG}\n[organizations.acme.projects.side]")).ok();
    assert_eq!(endings(1), [&[run(&named)], &stays[1..]].concat());
    assert_eq!(database.query(OPEN).await, "2");
    let projects = "SELECT idempotency_key, slug FROM runs JOIN projects ON projects.id = project_id ORDER BY 1";
    assert_eq!(database.query(projects).await, "kept main\nnamed side\nown main");

    // Its run was made by another hand, and the target has gone again.
    let mut made = playbook.delivery("made", target("side"), &text);
    insert_run(&admin, &made).await;
    made.project_id.0 = uuid::Uuid::new_v4();
    made.target = target("nowhere");
    let id = bury(&database, Reason::TargetNotFound, &made).await;
    assert_eq!(ending(&database, &["replay", &id]), done(0, "replayed", &[made.run_id]));
    let made = format!("SELECT replayed_runs FROM dead_letters WHERE id = '{id}'");
    assert_eq!(database.query(&made).await, "0");
}

/// Each delivery in it ends as exactly one of: a run made now, a run that was there, or a dead letter of its own (I3).
#[tokio::test]
async fn a_message_is_read_again() {
    let database = catalog().await;
    let playbook = Playbook::of(&database, "acme").await;
    let admin = database.admin().await;
    let (one, two) = (payload("one"), payload("two"));
    let new = playbook.delivery("new", Selector::default(), &one);
    let retried = playbook.delivery("retried", Selector::default(), &one);
    let conflict = playbook.delivery("retried", Selector::default(), &two);
    let homeless = playbook.delivery("homeless", target("nowhere"), &one);
    let mut homeless = homeless;
    homeless.project_id.0 = uuid::Uuid::new_v4();
    let buried = playbook.delivery("buried", Selector::default(), &one);
    // It killed workers; then its sender sent it again, and it came in another message.
    insert_run(&admin, &retried).await;
    let own = bury(&database, Reason::TargetNotFound, &buried).await;
    let all = [new.clone(), retried.clone(), conflict.clone(), homeless, buried, new.clone()];
    let id = bury_message(&database, Reason::PoisonMessage, &message(&all)).await;

    let (_, shown) = json(&database, &["show", &id]);
    let states = shown[0]["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| (part["runExists"].as_bool().unwrap(), part["deadLetterExists"].as_bool().unwrap()));
    let states: Vec<_> = states.collect();
    assert_eq!(states.iter().filter(|state| **state == (true, false)).count(), 1);
    assert_eq!(states.iter().filter(|state| **state == (false, true)).count(), 1);

    let replay = database.run(&["dead-letters", "replay", &id]).ok();
    let told = "replayed: 6 deliveries: 1 runs made, 2 there already, 3 with a dead letter of their own";
    assert!(replay.contains(told), "{replay}");
    assert_eq!(database.query(RUNS).await, format!("new {one}\nretried {one}"));
    let children = format!(
        "SELECT reason, idempotency_key, convert_from(payload, 'UTF8') FROM dead_letters WHERE origin_id = '{id}' ORDER BY 1"
    );
    assert_eq!(
        database.query(&children).await,
        format!("idempotency_conflict retried {two}\ntarget_not_found homeless {one}")
    );
    let mut runs = [new.run_id, retried.run_id];
    runs.sort();
    assert_eq!(ending(&database, &["replay", &id]), done(0, "replayed_before", &runs));
    // A later one of it is settled by what it was closed with.
    let twin = bury_message(&database, Reason::MalformedMessage, &message(&[new.clone(), conflict.clone()])).await;
    assert_eq!(ending(&database, &["replay", &twin]), done(0, "replayed", &[new.run_id]));
    assert_eq!(database.query("SELECT count(*) FROM dead_letters WHERE origin_id IS NOT NULL").await, "2");

    for (bytes, why) in [
        (b"\xff\x1b[2J not an envelope".as_slice(), "still unreadable: malformed envelope: "),
        (br#"{"v":2,"anything":[]}"#, "still unreadable: envelope version 2 is not known here"),
    ] {
        let id = bury_message(&database, Reason::MalformedMessage, bytes).await;
        let (code, lines) = json(&database, &["replay", &id]);
        assert_eq!((code, lines[0]["ending"].as_str().unwrap()), (1, "unchanged"));
        assert!(lines[0]["detail"].as_str().unwrap().starts_with(why), "{lines:?}");
        let error = json(&database, &["replay", &id, "--key", "k"]);
        assert_eq!(error.0, 1);
        let shown = database.run(&["dead-letters", "show", &id]).ok();
        assert!(!shown.contains('\x1b'), "what a terminal would obey");
    }
    database.run(&["dead-letters", "replay", &own]).ok();
}

/// Nothing is deleted but by `discard`, and by that the payload alone.
#[tokio::test]
async fn what_is_discarded_leaves_its_name() {
    let database = catalog().await;
    let playbook = Playbook::of(&database, "acme").await;
    let text = payload("\u{9b}31m");
    let mut ids = Vec::new();
    for key in ["a", "b", "c"] {
        let mut delivery = playbook.delivery(key, target("nowhere"), &text);
        delivery.project_id.0 = uuid::Uuid::new_v4();
        ids.push(bury(&database, Reason::TargetNotFound, &delivery).await);
    }
    let globex = Playbook::of(&database, "globex").await;
    ids.push(bury(&database, Reason::DataRefused, &globex.delivery("d", Selector::default(), &text)).await);
    let age = format!("UPDATE dead_letters SET created_at = now() - interval '2 hours' WHERE id = '{}'", ids[0]);
    database.admin().await.batch_execute(&age).await.unwrap();

    // What is meant by what.
    let listed = |args: &[&str]| {
        let (code, lines) = json(&database, &[&["list"], args].concat());
        assert_eq!(code, 0);
        let mut keys: Vec<_> = lines.iter().map(|line| line["idempotencyKey"].as_str().unwrap().to_owned()).collect();
        keys.sort();
        keys.concat()
    };
    for (args, keys) in [
        ([].as_slice(), "abcd"),
        (&["--older-than", "1h"], "a"),
        (&["--newer-than", "1h"], "bcd"),
        (&["--newer-than", "1h", "--playbook", "acme/deploy"], "bc"),
        (&["--reason", "data_refused"], "d"),
        (&["--reason", "data_refused", "--reason", "target_not_found"], "abcd"),
        (&["--reason", "poison_message"], ""),
        (&["--status", "discarded"], ""),
        (&["--status", "all", "--limit", "9"], "abcd"),
    ] {
        assert_eq!(listed(args), keys, "{args:?}");
    }
    let error = database.run(&["dead-letters", "list", "--playbook", "acme/none"]).failed(1);
    assert_eq!(error, "runlatch: there is no playbook acme/none\n");
    // A whole message may be of any playbook, and is not kept back in silence.
    bury_message(&database, Reason::PoisonMessage, b"whole").await;
    let left_out = |args: &[&str]| {
        let told = database.run(&[&["dead-letters"], args].concat());
        told.stderr.contains("1 dead letters of whole messages are left out")
    };
    for (args, expected) in [
        (["list", "--playbook", "acme/deploy"].as_slice(), true),
        (&["list", "--playbook", "acme/deploy", "--status", "all", "--json"], true),
        (&["list", "--playbook", "acme/deploy", "--newer-than", "1h", "--reason", "poison_message"], true),
        (&["replay", "--playbook", "globex/one", "--all", "--dry-run"], true),
        (&["discard", "--playbook", "globex/one", "--all", "--dry-run"], true),
        (&["list"], false),
        (&["list", "--playbook", "acme/deploy", "--reason", "target_not_found"], false),
        (&["list", "--playbook", "acme/deploy", "--older-than", "1h"], false),
        (&["list", "--playbook", "acme/deploy", "--status", "discarded"], false),
    ] {
        assert_eq!(left_out(args), expected, "{args:?}");
    }
    database.query("DELETE FROM dead_letters WHERE reason = 'poison_message'").await;
    let table = database.run(&["dead-letters", "list", "--limit", "3"]);
    assert_eq!(table.stdout.lines().count(), 4, "a line of headings: {table:?}");
    assert!(table.stderr.contains("there are more than these 3") && table.stderr.contains("next: "), "{table:?}");
    assert!(!table.stdout.contains(CANARY));

    let payloads = "SELECT idempotency_key, status, octet_length(payload) > 0 FROM dead_letters ORDER BY 1";
    let before = database.query(payloads).await;
    let shown = database.run(&["dead-letters", "show", &ids[0]]).ok();
    assert!(shown.contains(CANARY) && shown.contains("\\u{9b}31m") && !shown.contains('\u{9b}'), "{shown}");
    assert_eq!(json(&database, &["show", &ids[0]]).1[0]["payload"], text);
    let dry = database.run(&["dead-letters", "discard", "--all", "--dry-run"]).ok();
    assert_eq!(dry.matches("would be discarded: its payload of ").count(), 4, "{dry}");
    assert_eq!(database.query(payloads).await, before);
    database.run(&["dead-letters", "discard", "--all", "--reason", "data_refused", "--yes"]).ok();
    assert_eq!(ending(&database, &["discard", &ids[0], "--yes"]), done(0, "discarded", &[]));
    assert_eq!(ending(&database, &["discard", &ids[0], "--yes"]), done(0, "discarded_before", &[]));
    assert_eq!(database.query(payloads).await, "a discarded f\nb open t\nc open t\nd discarded f");
    assert_eq!(listed(&["--status", "discarded"]), "ad");
    assert_eq!(ending(&database, &["replay", &ids[0]]), done(1, "unchanged", &[]), "there is nothing left of it");
    let reopen = database.admin().await.batch_execute("UPDATE dead_letters SET status = 'open'").await.unwrap_err();
    assert!(reopen.as_db_error().unwrap().message().contains("discarded for good"), "{reopen}");

    database.apply(&format!("{CATALOG}\n[organizations.acme.projects.nowhere]")).ok();
    database.run(&["dead-letters", "replay", "--all", "--limit", "1"]).ok();
    assert_eq!(database.query(RUNS).await, format!("b {text}"));
    assert_eq!(ending(&database, &["discard", &ids[1], "--yes"]), done(1, "unchanged", &[]), "it is a run");
    let error = database.run(&["dead-letters", "show", "00000000-0000-4000-8000-000000000000"]).failed(1);
    assert!(error.contains("there is no dead letter with the id"), "{error}");
}

/// A script that is shown a part of them believes it is all.
#[tokio::test]
async fn as_json_all_are_listed() {
    let database = catalog().await;
    let rows = "INSERT INTO dead_letters (identity, reason, detail, payload, stream_epoch, stream_sequence)
                SELECT int4send(i), 'poison_message', '', '', 1, 1 FROM generate_series(1, 101) AS i";
    database.query(rows).await;
    let lines = |args: &[&str]| {
        let told = database.run(&[&["dead-letters", "list"], args].concat());
        (told.stdout.lines().count(), told.stderr.contains("there are more than these"))
    };
    assert_eq!(lines(&[]), (101, true), "a line of headings");
    assert_eq!(lines(&["--json"]), (101, false));
    assert_eq!(lines(&["--json", "--limit", "5"]), (5, true));
}
