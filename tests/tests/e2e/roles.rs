//! No role can do more than its process needs.

use harness::World;
use local::Role;
use tokio_postgres::error::SqlState;

/// Statements that a role may not run, whatever the process that logs in with it is made to do.
const FORBIDDEN: &[(Role, &[&str])] = &[
    (
        Role::Gateway,
        &[
            "INSERT INTO runs (id) VALUES (gen_random_uuid())",
            "UPDATE runs SET payload = '{}'",
            "DELETE FROM runs",
            "SELECT payload FROM runs",
            "SELECT payload FROM dead_letters",
            "SELECT * FROM dead_letters",
            "DELETE FROM dead_letters",
            "SELECT * FROM settled_sequences",
            "INSERT INTO webhook_secrets (playbook_id, slot, digest) VALUES (gen_random_uuid(), 1, '')",
            "UPDATE webhook_secrets SET revoked_at = NULL",
            "UPDATE playbooks SET enabled = true",
            "DELETE FROM kill_switches",
            "INSERT INTO organizations (slug, name) VALUES ('mine', '')",
            "CREATE TABLE mine ()",
        ],
    ),
    (
        Role::Worker,
        &[
            "UPDATE runs SET payload = '{}'",
            "DELETE FROM runs",
            "SELECT payload FROM runs",
            "SELECT payload FROM dead_letters",
            "UPDATE dead_letters SET payload = ''",
            "DELETE FROM dead_letters",
            "INSERT INTO dead_letters (status, closed_at, closed_by) VALUES ('discarded', now(), 'somebody else')",
            "SELECT * FROM settled_sequences",
            "UPDATE settled_sequences SET created = 0",
            "DELETE FROM settled_sequences",
            "INSERT INTO audit_acknowledgements (stream_epoch, sequences, note) VALUES (1, '{[1,2)}', '')",
            "SELECT digest FROM webhook_secrets",
            "SELECT * FROM kill_switches",
            "UPDATE playbooks SET enabled = true",
            "CREATE TABLE mine ()",
        ],
    ),
    (
        Role::Operator,
        &[
            "UPDATE runs SET payload = '{}'",
            "DELETE FROM runs",
            "UPDATE dead_letters SET payload = ''",
            "UPDATE dead_letters SET closed_by = 'somebody else'",
            "DELETE FROM dead_letters",
            "INSERT INTO dead_letters (status, closed_at, closed_by) VALUES ('discarded', now(), 'somebody else')",
            "SELECT compact_settled_sequences(1)",
            "DELETE FROM audit_acknowledgements",
            "DELETE FROM organizations",
            "DELETE FROM playbooks",
            "UPDATE webhook_secrets SET digest = ''",
            "DELETE FROM settled_sequences",
            "DROP TABLE runs",
            "CREATE TABLE mine ()",
        ],
    ),
];

/// Role, privilege, and on what.
const GRANTED: &[&str] = &[
    "runlatch_gateway SELECT dead_letters.accepted_at dead_letters.created_at dead_letters.fingerprint \
     dead_letters.idempotency_key dead_letters.playbook_id dead_letters.project_id dead_letters.project_slug \
     dead_letters.reason dead_letters.run_id dead_letters.status dead_letters.template_id dead_letters.template_slug kill_switches \
     organizations playbooks projects runs.accepted_at runs.created_at runs.fingerprint runs.id runs.idempotency_key \
     runs.playbook_id runs.project_id runs.template_id templates webhook_secrets",
    "runlatch_operator DELETE kill_switches",
    "runlatch_operator INSERT audit_acknowledgements dead_letters.accepted_at dead_letters.detail \
     dead_letters.fingerprint dead_letters.idempotency_key dead_letters.identity \
     dead_letters.organization_id dead_letters.origin_id dead_letters.payload dead_letters.playbook_id \
     dead_letters.project_id dead_letters.project_slug dead_letters.reason dead_letters.request_id dead_letters.run_id \
     dead_letters.stream_epoch dead_letters.stream_sequence dead_letters.template_id \
     dead_letters.template_slug kill_switches organizations playbooks projects runs templates \
     webhook_secrets",
    "runlatch_operator SELECT audit_acknowledgements dead_letters kill_switches organizations playbooks projects \
     refinery_schema_history runs settled_sequences suspect_messages templates webhook_secrets",
    "runlatch_operator UPDATE dead_letters.replayed_key dead_letters.replayed_run_id dead_letters.replayed_runs \
     dead_letters.status organizations.name organizations.slug playbooks.enabled playbooks.input_schema \
     playbooks.input_schema_mode playbooks.name playbooks.project_id playbooks.slug playbooks.template_id projects.name projects.slug templates.name \
     templates.slug webhook_secrets.revoked_at",
    "runlatch_worker DELETE suspect_messages",
    "runlatch_worker EXECUTE compact_settled_sequences",
    "runlatch_worker INSERT dead_letters.accepted_at dead_letters.detail dead_letters.fingerprint \
     dead_letters.idempotency_key dead_letters.identity dead_letters.organization_id dead_letters.payload \
     dead_letters.playbook_id dead_letters.project_id dead_letters.project_slug dead_letters.reason \
     dead_letters.request_id dead_letters.run_id dead_letters.stream_epoch dead_letters.stream_sequence dead_letters.template_id \
     dead_letters.template_slug runs settled_sequences suspect_messages",
    "runlatch_worker SELECT catalog_losses dead_letters.identity dead_letters.reason playbooks.id playbooks.organization_id \
     playbooks.project_id playbooks.template_id projects.id projects.organization_id runs.fingerprint runs.id \
     suspect_messages templates.id templates.organization_id",
    "runlatch_worker UPDATE suspect_messages",
];

#[tokio::test]
async fn no_more_than_needed() {
    let world = World::with(|builder| builder.gateways(0).workers(0)).await;
    for (role, statements) in FORBIDDEN {
        let (client, connection) =
            tokio_postgres::connect(&world.stack.database_url(*role), tokio_postgres::NoTls).await.expect("connects");
        tokio::spawn(connection);
        for statement in *statements {
            let error = client.batch_execute(statement).await.expect_err(statement);
            let code = error.code().expect("an answer of the server");
            // Dropping asks for ownership, which is refused under the same code.
            assert_eq!(code, &SqlState::INSUFFICIENT_PRIVILEGE, "{role:?}: {statement}: {error}");
        }
    }
    world.end().await;
}

/// Nothing was granted that is not here, to whomever.
#[tokio::test]
async fn what_is_granted() {
    let world = World::with(|builder| builder.gateways(0).workers(0)).await;
    let rows = world
        .database
        .query(
            "SELECT concat_ws(' ', role, privilege, string_agg(thing, ' ' ORDER BY thing COLLATE \"C\")) FROM (
                 SELECT grantee::regrole AS role, privilege_type AS privilege, relname::text AS thing
                 FROM pg_class, aclexplode(relacl)
                 WHERE relnamespace = 'public'::regnamespace AND grantee <> relowner
                 UNION ALL
                 SELECT grantee::regrole, privilege_type, relname || '.' || attname
                 FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid, aclexplode(attacl)
                 WHERE relnamespace = 'public'::regnamespace
                 UNION ALL
                 -- What runs with its caller's rights adds none.
                 SELECT grantee::regrole, privilege_type, proname
                 FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner)))
                 WHERE pronamespace = 'public'::regnamespace AND prosecdef AND grantee <> proowner
             ) AS granted GROUP BY role, privilege ORDER BY role::text, privilege",
            &[],
        )
        .await
        .expect("rows");
    let granted: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(granted, GRANTED);
    world.end().await;
}

/// Every column says what it is, who writes it and when it changes.
#[tokio::test]
async fn every_column_has_a_comment() {
    let world = World::with(|builder| builder.gateways(0).workers(0)).await;
    let rows = world
        .database
        .query(
            "SELECT relname || '.' || attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
             WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'refinery_schema_history'
               AND attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL",
            &[],
        )
        .await
        .expect("rows");
    let bare: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(bare.is_empty(), "{bare:?}");
    world.end().await;
}
