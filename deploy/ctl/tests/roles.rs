//! What each role may do, and above all what it may not.

use tokio_postgres::error::SqlState;

use crate::database::{Database, connect};

const DENIED: [(&str, &[&str]); 3] = [
    (
        "runlatch_gateway",
        &[
            "INSERT INTO runs SELECT * FROM runs",
            "UPDATE runs SET id = id",
            "DELETE FROM runs",
            "SELECT payload FROM dead_letters",
            "SELECT id FROM dead_letters",
            "INSERT INTO dead_letters SELECT * FROM dead_letters",
            "INSERT INTO organizations (slug, name) VALUES ('x', 'x')",
            "UPDATE playbooks SET enabled = true",
            "INSERT INTO webhook_secrets (playbook_id, slot, digest) VALUES (gen_random_uuid(), 1, '')",
            "DELETE FROM kill_switches",
            "TRUNCATE kill_switches",
            "CREATE TABLE mine ()",
        ],
    ),
    (
        "runlatch_worker",
        &[
            "SELECT digest FROM webhook_secrets",
            "SELECT payload FROM runs",
            "UPDATE runs SET id = id",
            "DELETE FROM runs",
            "SELECT payload FROM dead_letters",
            "UPDATE dead_letters SET reason = ''",
            "DELETE FROM dead_letters",
            "INSERT INTO dead_letters (status) VALUES ('discarded')",
            "INSERT INTO dead_letters (closed_at, closed_by) VALUES (now(), 'nobody')",
            "INSERT INTO dead_letters (replayed_run_id, replayed_key, replayed_runs) VALUES (NULL, NULL, 1)",
            "INSERT INTO dead_letters (origin_id) VALUES (gen_random_uuid())",
            "UPDATE settled_sequences SET created = 0",
            "DELETE FROM settled_sequences",
            "INSERT INTO organizations (slug, name) VALUES ('x', 'x')",
            "UPDATE playbooks SET enabled = true",
            "DELETE FROM kill_switches",
            "CREATE TABLE mine ()",
        ],
    ),
    (
        "runlatch_operator",
        &[
            "UPDATE runs SET id = id",
            "DELETE FROM runs",
            "UPDATE dead_letters SET payload = ''",
            "UPDATE dead_letters SET closed_by = 'nobody'",
            "DELETE FROM dead_letters",
            "INSERT INTO dead_letters (status) VALUES ('discarded')",
            "INSERT INTO dead_letters (closed_at, closed_by) VALUES (now(), 'nobody')",
            "INSERT INTO dead_letters (replayed_run_id, replayed_key, replayed_runs) VALUES (NULL, NULL, 1)",
            "SELECT compact_settled_sequences(1)",
            "DELETE FROM organizations",
            "DELETE FROM playbooks",
            "DELETE FROM webhook_secrets",
            "UPDATE organizations SET id = gen_random_uuid()",
            "UPDATE organizations SET idempotency_scope = 'organization'",
            "UPDATE playbooks SET id = gen_random_uuid()",
            "UPDATE playbooks SET organization_id = gen_random_uuid()",
            "UPDATE webhook_secrets SET digest = ''",
            "UPDATE webhook_secrets SET playbook_id = gen_random_uuid()",
            "UPDATE kill_switches SET engaged_by = 'nobody'",
            "DELETE FROM settled_sequences",
            "TRUNCATE organizations CASCADE",
            "CREATE TABLE mine ()",
            "DELETE FROM refinery_schema_history",
        ],
    ),
];

#[tokio::test]
async fn no_role_has_more_than_its_process_needs() {
    let database = Database::migrated().await;
    for (role, statements) in DENIED {
        let client = connect(&database.login(role).await).await;
        for statement in statements {
            let error = client.batch_execute(statement).await.expect_err(statement);
            assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{role}: {statement}: {error}");
        }
    }
}

#[tokio::test]
async fn each_role_has_what_its_process_needs() {
    let database = Database::migrated().await;
    // What the operator needs, every other test here shows.
    let gateway = connect(&database.login("runlatch_gateway").await).await;
    for table in ["organizations", "projects", "templates", "playbooks", "webhook_secrets", "kill_switches"] {
        gateway.batch_execute(&format!("LISTEN runlatch_catalog; SELECT * FROM {table}")).await.expect(table);
    }
    let worker = connect(&database.login("runlatch_worker").await).await;
    let statements = [
        "INSERT INTO runs (id, organization_id, playbook_id, project_id, template_id, idempotency_key, fingerprint, payload, accepted_at)
         SELECT b.id, b.organization_id, b.id, p.id, t.id, '', '', '{}', now() FROM playbooks b
         JOIN projects p ON p.organization_id = b.organization_id JOIN templates t ON t.organization_id = b.organization_id
         ON CONFLICT DO NOTHING RETURNING id",
        "SELECT id, fingerprint FROM runs",
        "INSERT INTO settled_sequences (stream_epoch, sequences, created, duplicates, dead_letters, announced, buried)
         VALUES (1, '{[1,2)}', 0, 0, 0, 0, 0)",
        // A worker of before these columns goes on while the schema is ahead of it.
        "INSERT INTO settled_sequences (stream_epoch, sequences, created, duplicates, dead_letters) VALUES (1, '{[2,3)}', 0, 0, 0)",
        "SELECT compact_settled_sequences(10)",
        "INSERT INTO dead_letters (identity, reason, detail, payload, stream_epoch, stream_sequence)
         VALUES ('', '', '', '', 1, 1) ON CONFLICT DO NOTHING",
        "INSERT INTO suspect_messages (stream_epoch, stream_sequence, attempts) VALUES (1, 1, 1)
         ON CONFLICT (stream_epoch, stream_sequence) DO UPDATE SET attempts = suspect_messages.attempts + 1 RETURNING attempts",
        "DELETE FROM suspect_messages",
    ];
    for statement in statements {
        worker.batch_execute(statement).await.expect(statement);
    }
}

/// Old keys would get new run ids, whoever did it.
#[tokio::test]
async fn the_scope_cannot_be_changed_by_the_owner_either() {
    let database = Database::migrated().await;
    database.apply("[organizations.acme]").ok();
    let change = "UPDATE organizations SET idempotency_scope = 'organization'";
    let error = database.admin().await.batch_execute(change).await.unwrap_err();
    assert!(error.as_db_error().unwrap().message().contains("fixed for life"), "{error}");
}
