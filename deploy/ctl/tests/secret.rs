use proto::secret::{Pepper, is_generated};

use crate::database::{Database, PEPPER, start};

const ACME: &str = "
    [organizations.acme.projects.p]
    [organizations.acme.templates.t]
    [organizations.acme.playbooks]
    deploy = { project = 'p', template = 't' }
    other = { project = 'p', template = 't' }";

const BROUGHT: &str = "canary-brought-along-by-hand";

const LIVE: &str = "SELECT slot FROM webhook_secrets WHERE revoked_at IS NULL ORDER BY slot";

async fn acme() -> Database {
    let database = Database::migrated().await;
    database.apply(ACME).ok();
    database
}

fn create(database: &Database) -> crate::database::Outcome {
    database.run(&["secret", "create", "acme/deploy"])
}

fn bring(database: &Database, stdin: &str) -> crate::database::Outcome {
    database.start(&["secret", "create", "acme/deploy", "--stdin"], stdin).outcome()
}

fn digest(secret: &str) -> String {
    let digest = Pepper::new(PEPPER.as_bytes()).unwrap().digest(secret.as_bytes());
    digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_secret_is_printed_once_and_only_its_digest_is_stored() {
    let database = acme().await;
    let outcome = create(&database);
    let secret = outcome.stdout.strip_suffix('\n').unwrap().to_owned();
    assert!(is_generated(&secret), "{outcome:?}");
    assert!(!outcome.stderr.contains(&secret) && outcome.stderr.contains("opens acme/deploy"), "{outcome:?}");
    let dump = database.query("SELECT webhook_secrets FROM webhook_secrets").await;
    assert!(dump.contains(&digest(&secret)) && !dump.contains(&secret), "{dump}");
    let listed = database.run(&["secret", "list", "acme/deploy"]).ok();
    assert!(!listed.contains(&secret) && !listed.contains(&digest(&secret)), "{listed}");
    assert_ne!(create(&database).ok().trim(), secret);
}

#[tokio::test]
async fn an_existing_secret_comes_from_stdin_and_is_not_shown() {
    let database = acme().await;
    let outcome = bring(&database, &format!("{BROUGHT}\n"));
    assert!(outcome.stdout.is_empty() && !outcome.stderr.contains(BROUGHT), "{outcome:?}");
    outcome.ok();
    // Without the newline, and with neither of them in the digest.
    assert_eq!(database.query("SELECT encode(digest, 'hex') FROM webhook_secrets").await, digest(BROUGHT));
    let error = bring(&database, BROUGHT).failed(1);
    assert!(error.contains("live for acme/deploy already") && !error.contains(BROUGHT), "{error}");
    // For another playbook it is another secret.
    database.start(&["secret", "create", "acme/other", "--stdin"], BROUGHT).outcome().ok();
}

#[tokio::test]
async fn what_cannot_be_a_secret_is_refused_unseen() {
    let database = acme().await;
    let bad = [
        "",
        "\n",
        "canary-too-short-by-1-xx",
        "canary with blanks in it, long enough",
        "canary-ünïcode-long-enough-it-is",
    ];
    for text in bad.iter().map(|text| text.replace("-xx", "")).chain(["canary".repeat(100), format!("{BROUGHT}\n\n")]) {
        let error = bring(&database, &text).failed(65);
        assert_eq!(error, "runlatch: stdin: a webhook secret is 24 to 512 characters of 0x21 to 0x7E\n");
    }
    let env = [("DATABASE_URL", database.url.as_str()), ("RUNLATCH_PEPPER", PEPPER)];
    start(&env, &["secret", "create", "acme/deploy", "--stdin"], &[0xff; 30]).outcome().failed(65);
    assert_eq!(database.query(LIVE).await, "");
    bring(&database, &"x".repeat(512)).ok();
    bring(&database, &format!("{}\r\n", "x".repeat(24))).ok();
}

#[tokio::test]
async fn two_are_live_at_most_and_a_revoked_one_makes_room() {
    let database = acme().await;
    create(&database).ok();
    create(&database).ok();
    let error = create(&database).failed(1);
    assert!(error.contains("two live secrets") && error.contains("`runlatch secret revoke ID`"), "{error}");
    assert_eq!(database.query(LIVE).await, "1\n2");

    let listed = database.run(&["secret", "list", "acme/deploy"]).ok();
    assert_eq!(listed.lines().filter(|line| line.ends_with("Z  live")).count(), 2, "{listed}");
    let id = &listed[..36];
    let revoked = database.run(&["secret", "revoke", id]).ok();
    assert_eq!(revoked, format!("secret {id} of acme/deploy is revoked; 1 live\n"));
    let when = database.query("SELECT revoked_at FROM webhook_secrets WHERE revoked_at IS NOT NULL").await;
    let again = database.run(&["secret", "revoke", id]).ok();
    assert_eq!(again, format!("secret {id} of acme/deploy was revoked before; 1 live\n"));
    assert_eq!(database.query("SELECT revoked_at FROM webhook_secrets WHERE revoked_at IS NOT NULL").await, when);
    let listed = database.run(&["secret", "list", "acme/deploy"]).ok();
    assert!(listed.starts_with(id) && listed.lines().next().unwrap().contains("  revoked 20"), "{listed}");

    create(&database).ok();
    assert_eq!(database.query(LIVE).await, "1\n2");
    assert_eq!(database.run(&["secret", "list", "acme/deploy"]).ok().lines().count(), 3);
}

#[tokio::test]
async fn many_at_once_take_the_two_slots_and_no_more() {
    let database = acme().await;
    let running: Vec<_> = (0..8).map(|_| database.start(&["secret", "create", "acme/deploy"], "")).collect();
    let (created, refused): (Vec<_>, Vec<_>) =
        running.into_iter().map(|running| running.outcome()).partition(|outcome| outcome.code == 0);
    assert_eq!(created.len(), 2);
    for outcome in refused {
        assert!(outcome.failed(1).contains("two live secrets"));
    }
    assert_eq!(database.query(LIVE).await, "1\n2");
}

#[tokio::test]
async fn revoking_the_last_one_is_remarked_on() {
    let database = acme().await;
    create(&database).ok();
    let listed = database.run(&["secret", "list", "acme/deploy"]).ok();
    let outcome = database.run(&["secret", "revoke", &listed[..36]]);
    assert_eq!(outcome.stderr, "runlatch: acme/deploy has no live secret: every delivery to it is refused\n");
    outcome.ok();
}

/// Two secrets in the database that are one, or one that lives again, would make nonsense of a rotation.
#[tokio::test]
async fn the_database_itself_keeps_secrets_apart_and_revoked() {
    let database = acme().await;
    bring(&database, BROUGHT).ok();
    let operator = crate::database::connect(&database.url).await;
    let twin =
        "INSERT INTO webhook_secrets (playbook_id, slot, digest) SELECT playbook_id, 2, digest FROM webhook_secrets";
    assert!(operator.batch_execute(twin).await.is_err());
    operator.batch_execute("UPDATE webhook_secrets SET revoked_at = now()").await.unwrap();
    let alive = operator.batch_execute("UPDATE webhook_secrets SET revoked_at = NULL").await.unwrap_err();
    assert!(alive.as_db_error().unwrap().message().contains("revoked for good"), "{alive}");
    // A revoked one may be brought again: that is another row, and a deliberate act.
    bring(&database, BROUGHT).ok();
}

#[tokio::test]
async fn the_unknown_is_named() {
    let database = acme().await;
    for path in ["acme/none", "none/deploy"] {
        for args in [["secret", "create", path], ["secret", "list", path]] {
            assert_eq!(database.run(&args).failed(1), format!("runlatch: there is no playbook {path}\n"));
        }
    }
    let id = "00000000-0000-4000-8000-000000000000";
    let error = database.run(&["secret", "revoke", id]).failed(1);
    assert_eq!(error, format!("runlatch: there is no secret with the id {id}\n"));
    let listed = database.run(&["secret", "list", "acme/deploy"]);
    assert_eq!(listed.stderr, "runlatch: acme/deploy has no secret: every delivery to it is refused\n");
    assert_eq!(listed.ok(), "");
}

#[tokio::test]
async fn the_pepper_may_come_from_a_file() {
    let database = acme().await;
    let file = std::env::temp_dir().join(format!("pepper-{}", uuid::Uuid::new_v4()));
    std::fs::write(&file, format!("{PEPPER}\n")).unwrap();
    let path = file.to_str().unwrap();
    let url = ("DATABASE_URL", database.url.as_str());
    let args = ["secret", "create", "acme/deploy", "--stdin"];
    start(&[url, ("RUNLATCH_PEPPER_FILE", path)], &args, BROUGHT.as_bytes()).outcome().ok();
    let other = ["secret", "create", "acme/other", "--stdin", "--pepper-file", path];
    start(&[url], &other, BROUGHT.as_bytes()).outcome().ok();
    std::fs::remove_file(&file).unwrap();
    let digests = database.query("SELECT DISTINCT encode(digest, 'hex') FROM webhook_secrets").await;
    assert_eq!(digests, digest(BROUGHT));
}

#[test]
fn without_a_good_pepper_nothing_is_made() {
    // No database could be reached here, and none is asked.
    let url = ("DATABASE_URL", "postgres://user@127.0.0.1:1/db");
    let run = |env: &[(&str, &str)]| {
        let error = start(env, &["secret", "create", "acme/deploy"], b"").outcome().failed(64);
        assert!(!error.contains("canary"), "{error}");
        error
    };
    assert!(run(&[url]).contains("set RUNLATCH_PEPPER or RUNLATCH_PEPPER_FILE"));
    assert!(run(&[url, ("RUNLATCH_PEPPER", ""), ("RUNLATCH_PEPPER_FILE", "")]).contains("set RUNLATCH_PEPPER"));
    assert!(
        run(&[url, ("RUNLATCH_PEPPER", "canary-short")]).contains("RUNLATCH_PEPPER: the pepper must be at least 32")
    );
    assert!(run(&[url, ("RUNLATCH_PEPPER", PEPPER), ("RUNLATCH_PEPPER_FILE", "x")]).contains("both"));
    assert!(run(&[url, ("RUNLATCH_PEPPER_FILE", "/nowhere/at/all")]).contains("/nowhere/at/all: No such file"));
}
