//! Exit codes, and the one line that goes with each. Nothing here needs a database.

use crate::database::{Outcome, start};

/// Nobody listens on port 1.
const URL: &str = "postgres://operator:canary-password@127.0.0.1:1/runlatch";

/// Of no row.
const ID: &str = "00000000-0000-4000-8000-000000000000";

fn run(args: &[&str]) -> Outcome {
    start(&[("DATABASE_URL", URL), ("RUNLATCH_PEPPER", crate::database::PEPPER)], args, b"").outcome()
}

#[test]
fn bad_usage_is_64_in_one_line() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "no command was given"),
        (&["frobnicate"], "there is no such command"),
        (&["catalog"], "no command was given"),
        (&["catalog", "apply"], "missing: <FILE>"),
        (&["catalog", "apply", "x", "--dryrun=canary"], "there is no --dryrun"),
        (&["kill-switch"], "missing: <STATE>"),
        (&["kill-switch", "canary"], "<STATE>: expected on or off"),
        (&["kill-switch", "on", "Canary!"], "[ORG]: a slug is"),
        (&["secret", "create", "canary"], "<ORG/PLAYBOOK>: expected two slugs"),
        (&["secret", "create", "acme/Canary"], "<ORG/PLAYBOOK>: a slug is"),
        (&["secret", "create", "acme/deploy", "canary-secret-in-the-wrong-place"], "one argument too many"),
        (&["secret", "revoke", "canary-secret-in-the-wrong-place"], "<ID>: expected the secret's id"),
        (
            &["drill", "--kill", "redis,canary"],
            "--kill <PARTS>: expected redis, nats, postgres, gateway, worker, or none",
        ),
        (&["drill", "--kill", ""], "--kill <PARTS>: expected redis"),
        (&["drill", "--deliveries", "1"], "--deliveries <N>: 1 is not in 100..="),
        (&["drill", "--sabotage", "canary"], "--sabotage <HOW>: expected lose, double, alter"),
        (&["--database-url"], "a value is missing"),
        (&["audit"], "NATS_URL is not set"),
        (&["audit", "--nats-url", "nats://user:canary@["], "NATS_URL is not of the form"),
        (&["audit", "--epoch", "canary"], "expected current, all, or an epoch"),
        (&["audit", "acknowledge", "canary", "--note", "x"], "expected an epoch"),
        (&["audit", "acknowledge", "1"], "missing: --note <NOTE>"),
        (&["audit", "acknowledge", "1", "5-3", "--note", "x"], "[SEQUENCES]: expected sequences in ascending order"),
        (&["audit", "acknowledge", "1", "3,3", "--note", "x"], "expected sequences in ascending order"),
        (&["audit", "acknowledge", "1", "0", "--note", "x"], "expected sequences in ascending order"),
        (&["dead-letters"], "no command was given"),
        (
            &["dead-letters", "list", "--reason", "canary"],
            "--reason <REASON>: expected one of idempotency_conflict, target_",
        ),
        (&["dead-letters", "list", "--status", "canary"], "expected open or replayed or discarded or all"),
        (&["dead-letters", "list", "--playbook", "canary"], "expected two slugs"),
        (&["dead-letters", "list", "--older-than", "canary"], "expected a duration"),
        (&["dead-letters", "list", "--limit", "0"], "--limit"),
        (&["dead-letters", "show", "canary"], "<ID>: expected a dead letter's id"),
        (&["dead-letters", "replay"], "name dead letters by their ids, or say --all"),
        (&["dead-letters", "replay", "--reason", "data_refused"], "or say --all"),
        (&["dead-letters", "replay", ID, "--all"], "not both"),
        (&["dead-letters", "replay", ID, "--limit", "3"], "not both"),
        (&["dead-letters", "replay", "--all", "--key", "k"], "--key is for one dead letter"),
        (&["dead-letters", "replay", ID, ID, "--key", "k"], "--key is for one dead letter"),
        (&["dead-letters", "replay", ID, "--key", "canary key"], "an idempotency key is 1 to 255"),
        (&["dead-letters", "discard", ID], "say --yes, or --dry-run"),
        (&["dead-letters", "discard", "--yes"], "or say --all"),
    ];
    for (args, expected) in cases {
        let error = run(args).failed(64);
        assert!(error.contains(expected) && error.lines().count() == 1, "{args:?}: {error}");
        // What was mistyped may be a secret.
        assert!(!error.to_lowercase().contains("canary"), "{args:?}: {error}");
    }
}

#[test]
fn a_bad_database_url_is_64_and_not_quoted() {
    let urls = [
        ("", "DATABASE_URL is not set"),
        ("canary", "not of the form"),
        ("postgres://op:canary@host:canary/db", "not of the form"),
        ("postgres://op:canary@host/db?canary=canary", "not of the form"),
        ("postgres://op:canary@canary@host/db", "more than one '@'"),
        ("postgres://op:ca@nary/canary@host/db", "more than one '@'"),
        ("postgres://op:canary%zz@host:99999999/db", "not of the form"),
        ("host=h password=canary canary", "not of the form"),
        ("user=op password=canary", "names no host"),
    ];
    for (url, expected) in urls {
        for args in [["migrate"].as_slice(), &["kill-switch", "on"]] {
            let error = start(&[("DATABASE_URL", url)], args, b"").outcome().failed(64);
            assert!(error.contains(expected) && error.lines().count() == 1, "{url}: {error}");
            assert!(!error.contains("canary") && !error.contains("nary"), "{url}: {error}");
        }
    }
    assert!(start(&[], &["migrate"], b"").outcome().failed(64).contains("DATABASE_URL is not set"));
}

#[test]
fn what_cannot_be_reached_is_named_without_the_password() {
    let commands: [&[&str]; 9] = [
        &["migrate"],
        &["secret", "create", "acme/deploy"],
        &["secret", "list", "acme/deploy"],
        &["secret", "revoke", "00000000-0000-4000-8000-000000000000"],
        &["kill-switch", "off"],
        &["dead-letters", "list"],
        &["dead-letters", "show", ID],
        &["dead-letters", "replay", "--all"],
        &["dead-letters", "discard", ID, "--yes"],
    ];
    for args in commands {
        let error = run(args).failed(69);
        assert!(error.contains("cannot reach Postgres at 127.0.0.1:1: ") && error.contains("refused"), "{error}");
        assert!(!error.contains("canary") && error.lines().count() == 1, "{error}");
    }
    let hosts = "host=127.0.0.1,127.0.0.2 port=1,2 password=canary user=op";
    let error = start(&[("DATABASE_URL", hosts)], &["migrate"], b"").outcome().failed(69);
    assert!(error.contains("Postgres at 127.0.0.1:1, 127.0.0.2:2"), "{error}");
}

/// A monitor must be able to tell what does not add up from what could not be looked at.
#[test]
fn an_audit_that_cannot_be_made_is_69() {
    let error = run(&["audit", "--nats-url", "nats://user:canary@127.0.0.1:1"]).failed(69);
    assert!(error.contains("nothing was audited: cannot reach Postgres at 127.0.0.1:1"), "{error}");
    let acknowledge = ["audit", "acknowledge", "1", "--note", "x", "--nats-url", "nats://user:canary@127.0.0.1:1"];
    let error = run(&acknowledge).failed(69);
    assert!(error.contains("cannot reach NATS at 127.0.0.1:1") && !error.contains("canary"), "{error}");
}

#[tokio::test]
async fn a_login_that_is_refused_is_named_without_the_password() {
    let database = crate::database::Database::migrated().await;
    let url = database.url.replace("canary-password", "canary-wrong");
    let error = start(&[("DATABASE_URL", &url)], &["kill-switch", "on"], b"").outcome().failed(69);
    assert!(error.contains("does not let us in") && error.contains("SQLSTATE 28P01"), "{error}");
    assert!(!error.contains("canary"), "{error}");
}

#[tokio::test]
async fn a_database_without_a_schema_says_what_to_do() {
    let database = crate::database::Database::empty().await;
    for args in [["kill-switch", "on"].as_slice(), &["secret", "list", "a/b"]] {
        let error = database.run(args).failed(69);
        assert!(error.contains("run `runlatch migrate`"), "{error}");
    }
    assert!(database.apply("[organizations.acme]").failed(69).contains("run `runlatch migrate`"));
}

#[test]
fn a_bad_file_is_65_before_any_database_is_asked() {
    let apply = |stdin: &[u8]| start(&[("DATABASE_URL", URL)], &["catalog", "apply", "-"], stdin).outcome().failed(65);
    assert_eq!(apply(b""), "runlatch: stdin: organizations: none is named\n");
    assert!(apply(b"\n[organisations.acme]").contains("stdin: line 2, column 2: unknown field `organisations`"));
    assert!(apply(b"a = canary-token = 1\n").starts_with("runlatch: stdin: line 1, column "));
    assert!(!apply(b"rlsk_canary canary\n").contains("canary"));
    assert!(apply(b"[organizations.a]\n[organizations.a]").contains("line 2"));
    assert_eq!(apply(b"\xff"), "runlatch: stdin: not UTF-8\n");
    assert!(
        run(&["catalog", "apply", "/nowhere/at/all.toml"]).failed(65).contains("/nowhere/at/all.toml: No such file")
    );
}

#[test]
fn help_goes_to_stdout_and_shows_no_setting() {
    for args in
        [["--help"].as_slice(), &["secret", "create", "--help"], &["catalog", "apply", "--help"], &["--version"]]
    {
        let env =
            [("DATABASE_URL", URL), ("RUNLATCH_PEPPER_FILE", "canary-file"), ("RUNLATCH_PEPPER", "canary-pepper")];
        let outcome = start(&env, args, b"").outcome();
        assert!(!outcome.stdout.contains("canary") && outcome.stderr.is_empty(), "{outcome:?}");
        assert!(outcome.ok().contains("runlatch"));
    }
}
