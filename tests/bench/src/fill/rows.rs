//! Rows in `runs`.

use anyhow::Result;
use futures_util::future::try_join_all;
use tokio_postgres::Client;

use crate::stage::Stage;

/// At once: as many as there are cores on a small machine.
const CONNECTIONS: u64 = 2;

/// Rows of one playbook with the usual payload. The ids are random in all bits that the index sees first, as the real ones are;
/// foreign keys are not looked at, which is what would take the time.
const INSERT: &str = "
    INSERT INTO runs (id, organization_id, playbook_id, project_id, template_id, idempotency_key, fingerprint, payload, accepted_at)
    SELECT id, organization_id, playbook_id, project_id, template_id,
           'evt_' || substr(translate(id::text, '-', ''), 1, 16), sha256(uuid_send(id)), payload, now()
    FROM (SELECT gen_random_uuid() AS id, number FROM generate_series(1, $1::bigint) AS number) AS made,
         (SELECT organization_id, id AS playbook_id, project_id, template_id FROM playbooks ORDER BY slug LIMIT 1) AS playbook,
         (SELECT json_build_object('event', 'order.created', 'note', repeat('lorem ipsum ', 33)) AS payload) AS body";

/// So many more of them.
pub(crate) async fn rows(stage: &Stage, count: u64) -> Result<()> {
    let part = |index: u64| async move {
        let client = stage.connect().await?;
        client.batch_execute("SET session_replication_role = replica").await?;
        let share = count / CONNECTIONS + u64::from(index < count % CONNECTIONS);
        client.execute(INSERT, &[&i64::try_from(share)?]).await?;
        Ok(())
    };
    try_join_all((0..CONNECTIONS).map(part)).await.map(drop)
}

/// Two tables that take turns in being `runs`.
pub(crate) struct Tables<'a>(&'a Client);

impl<'a> Tables<'a> {
    /// Makes another table like `runs`, foreign keys (if there are any) and all.
    pub(crate) async fn new(database: &'a Client) -> Result<Self> {
        let twin = "
            CREATE TABLE runs_twin (LIKE runs INCLUDING ALL);
            GRANT SELECT, INSERT ON runs_twin TO runlatch_worker;
            DO $$
            DECLARE key record;
            BEGIN
                FOR key IN SELECT pg_get_constraintdef(oid) AS definition FROM pg_constraint
                           WHERE conrelid = 'runs'::regclass AND contype = 'f' LOOP
                    EXECUTE 'ALTER TABLE runs_twin ADD ' || key.definition;
                END LOOP;
            END $$;
            -- Nobody is to come and clean while it is measured; there is nothing to clean.
            ALTER TABLE runs SET (autovacuum_enabled = false);
            ALTER TABLE runs_twin SET (autovacuum_enabled = false)";
        database.batch_execute(twin).await?;
        Ok(Self(database))
    }

    /// Lets them change places. The workers' statements are planned anew.
    pub(crate) async fn swap(&self) -> Result<()> {
        let swap = "
            BEGIN;
            ALTER TABLE runs RENAME TO runs_third;
            ALTER TABLE runs_twin RENAME TO runs;
            ALTER TABLE runs_third RENAME TO runs_twin;
            COMMIT";
        Ok(self.0.batch_execute(swap).await?)
    }

    /// Removes the one that is not `runs`.
    pub(crate) async fn drop(self) -> Result<()> {
        Ok(self.0.batch_execute("DROP TABLE runs_twin; ALTER TABLE runs RESET (autovacuum_enabled)").await?)
    }
}
