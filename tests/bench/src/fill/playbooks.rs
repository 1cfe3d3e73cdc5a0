//! Playbooks, each with a secret of its own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use proto::secret::{Pepper, Secret};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::load::{Requests, Secrets, ask, wrong};
use crate::stage::Stage;

/// Of one organization.
const EACH: usize = 1000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Rows of a catalog that can come and go, told to the gateways by their organizations: one notification for each is enough, and
/// the triggers of a hundred thousand rows would take the time.
const ADD: &str = "
    BEGIN;
    SET LOCAL session_replication_role = replica;
    INSERT INTO organizations SELECT * FROM grown_organizations;
    INSERT INTO projects SELECT * FROM grown_projects;
    INSERT INTO templates SELECT * FROM grown_templates;
    INSERT INTO playbooks SELECT * FROM grown_playbooks;
    INSERT INTO webhook_secrets SELECT * FROM grown_secrets;
    SET LOCAL session_replication_role = origin;
    UPDATE organizations SET name = name WHERE id IN (SELECT id FROM grown_organizations);
    COMMIT";
const REMOVE: &str = "
    BEGIN;
    SET LOCAL session_replication_role = replica;
    DELETE FROM webhook_secrets USING grown_secrets WHERE webhook_secrets.id = grown_secrets.id;
    DELETE FROM playbooks USING grown_playbooks WHERE playbooks.id = grown_playbooks.id;
    DELETE FROM projects USING grown_projects WHERE projects.id = grown_projects.id;
    DELETE FROM templates USING grown_templates WHERE templates.id = grown_templates.id;
    SET LOCAL session_replication_role = origin;
    DELETE FROM organizations USING grown_organizations WHERE organizations.id = grown_organizations.id;
    COMMIT";
/// By itself: it is not to be part of a transaction.
const CLEAN: &str = "VACUUM ANALYZE organizations, projects, templates, playbooks, webhook_secrets";

/// Playbooks that can be put into the catalog and taken out again.
pub(crate) struct Playbooks(Secrets);

impl Playbooks {
    /// Makes them, in tables aside.
    pub(crate) async fn new(stage: &Stage, count: u64) -> Result<Self> {
        let aside = ["organizations", "projects", "templates", "playbooks", "webhook_secrets"].map(|table| {
            let aside = table.replace("webhook_", "");
            format!("CREATE TEMPORARY TABLE grown_{aside} (LIKE {table} INCLUDING DEFAULTS);")
        });
        stage.database.batch_execute(&aside.concat()).await?;
        let pepper = Pepper::new(stage.stack.pepper().as_bytes())?;
        let mut secrets = Vec::new();
        for organization in 0..usize::try_from(count)?.div_ceil(EACH) {
            let [id, project, template] = [0; 3].map(|_| Uuid::new_v4());
            let slug = format!("grown-{organization:03}");
            let made: Vec<_> = (0..EACH).map(|_| secret()).collect();
            let digests: Vec<_> =
                made.iter().map(|secret| pepper.digest(secret.as_bytes()).as_bytes().to_vec()).collect();
            let ids: Vec<_> = (0..EACH).map(|_| Uuid::new_v4()).collect();
            let slugs: Vec<_> = (0..EACH).map(|index| format!("playbook-{index:03}")).collect();
            let database = &stage.database;
            database
                .execute(
                    "INSERT INTO grown_organizations (id, slug, name) VALUES ($1, $2::text, 'Grown')",
                    &[&id, &slug],
                )
                .await?;
            for (table, row) in [("projects", &project), ("templates", &template)] {
                let insert = format!(
                    "INSERT INTO grown_{table} (id, organization_id, slug, name) VALUES ($1, $2, 'only', 'Only')"
                );
                database.execute(&insert, &[row, &id]).await?;
            }
            database
                .execute(
                    "INSERT INTO grown_playbooks (id, organization_id, slug, name, project_id, template_id)
                     SELECT id, $3, slug, slug, $4, $5 FROM unnest($1::uuid[], $2::text[]) AS made (id, slug)",
                    &[&ids, &slugs, &id, &project, &template],
                )
                .await?;
            database
                .execute(
                    "INSERT INTO grown_secrets (playbook_id, slot, digest)
                     SELECT id, 1, digest FROM unnest($1::uuid[], $2::bytea[]) AS made (id, digest)",
                    &[&ids, &digests],
                )
                .await?;
            let path = |name: String| format!("/api/webhooks/orgs/{slug}/playbooks/{name}");
            secrets.extend(slugs.into_iter().map(path).zip(made));
        }
        Ok(Self(Arc::new(secrets)))
    }

    pub(crate) fn secrets(&self) -> Secrets {
        self.0.clone()
    }

    /// Puts them into the catalog, and returns once every gateway knows all of them.
    pub(crate) async fn add(&self, stage: &Stage) -> Result<()> {
        stage.database.batch_execute(ADD).await?;
        stage.database.batch_execute(CLEAN).await?;
        // Who knows a playbook refuses a wrong secret; to who does not, it is not there.
        self.answered(stage, 401).await
    }

    /// Takes them out again.
    pub(crate) async fn remove(&self, stage: &Stage) -> Result<()> {
        stage.database.batch_execute(REMOVE).await?;
        stage.database.batch_execute(CLEAN).await?;
        self.answered(stage, 404).await
    }

    /// Waits until a delivery with a wrong secret is answered so in each organization.
    async fn answered(&self, stage: &Stage, status: u16) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let organizations = wrong(&Arc::new(self.0.iter().step_by(EACH).cloned().collect()));
        for (gateway, playbook) in
            stage.gateways().into_iter().flat_map(|gateway| organizations.iter().map(move |p| (gateway, p)))
        {
            let mut request = Vec::new();
            Requests::new(Arc::new(vec![playbook.clone()]), 0, crate::bench::BODY, "asks")?.write(&mut request);
            while ask(gateway, &request)? != status {
                ensure!(Instant::now() < deadline, "the gateways do not answer {status} within {PATIENCE:?}");
                sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }
}

fn secret() -> String {
    let mut entropy = [0; 32];
    fastrand::fill(&mut entropy);
    Secret::from_entropy(&entropy).reveal().to_owned()
}
