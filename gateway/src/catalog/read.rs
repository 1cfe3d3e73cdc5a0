//! Reads the catalog, or one organization of it, in one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use futures_util::try_join;
use proto::secret::Digest;
use proto::{OrganizationId, PlaybookId, ProjectId, Slug, TemplateId};
use tokio::task::spawn_blocking;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, IsolationLevel, Row};
use uuid::Uuid;

use super::input::Compiler;
use super::snapshot::{Organization, Playbook, Snapshot};

/// What to read.
pub(super) enum Extent {
    All,
    /// Only these; the rest is taken from the snapshot at hand.
    Organizations(Vec<Uuid>),
}

/// Reads `extent` and lays it over `before`. REPEATABLE READ, so that the six queries see one moment.
pub(super) async fn read(client: &mut Client, extent: Extent, before: Arc<Snapshot>) -> anyhow::Result<Snapshot> {
    let ids = match extent {
        Extent::All => None,
        Extent::Organizations(ids) => Some(ids),
    };
    let only: &[&(dyn ToSql + Sync)] = &[&ids];
    let transaction =
        client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
    let (organizations, projects, templates, playbooks, secrets, switches) = try_join!(
        transaction.query(
            "SELECT id, slug::text, idempotency_scope = 'organization' FROM organizations
             WHERE $1::uuid[] IS NULL OR id = ANY ($1)",
            only,
        ),
        transaction.query(
            "SELECT organization_id, slug::text, id FROM projects WHERE $1::uuid[] IS NULL OR organization_id = ANY ($1)",
            only,
        ),
        transaction.query(
            "SELECT organization_id, slug::text, id FROM templates WHERE $1::uuid[] IS NULL OR organization_id = ANY ($1)",
            only,
        ),
        transaction.query(
            "SELECT organization_id, slug::text, id, enabled, project_id, template_id, input_schema::text, input_schema_mode
             FROM playbooks WHERE $1::uuid[] IS NULL OR organization_id = ANY ($1)",
            only,
        ),
        transaction.query(
            "SELECT playbook_id, digest FROM webhook_secrets JOIN playbooks ON playbooks.id = playbook_id
             WHERE revoked_at IS NULL AND ($1::uuid[] IS NULL OR organization_id = ANY ($1))",
            only,
        ),
        // Few, and the global one belongs to no organization: always all.
        transaction.query("SELECT organization_id FROM kill_switches", &[]),
    )?;
    transaction.commit().await?;
    let rows = Rows { organizations, projects, templates, playbooks, secrets, switches };
    // A large catalog takes a tenth of a second, in which the thread that answers callers is to answer them.
    spawn_blocking(move || assemble(&rows, ids.as_deref(), &before)).await.context("assembling the catalog")?
}

struct Rows {
    organizations: Vec<Row>,
    projects: Vec<Row>,
    templates: Vec<Row>,
    playbooks: Vec<Row>,
    secrets: Vec<Row>,
    switches: Vec<Row>,
}

/// Makes a snapshot of what was read: of all, or of these organizations and what was before of the others.
fn assemble(rows: &Rows, ids: Option<&[Uuid]>, before: &Snapshot) -> anyhow::Result<Snapshot> {
    let killed: Vec<Option<Uuid>> = rows.switches.iter().map(|row| row.get(0)).collect();
    let mut parts = Parts {
        projects: by_organization(&rows.projects, |row| Ok(ProjectId(row.try_get(2)?)))?,
        templates: by_organization(&rows.templates, |row| Ok(TemplateId(row.try_get(2)?)))?,
        playbooks: HashMap::new(),
    };
    let mut digests: HashMap<Uuid, Vec<Digest>> = HashMap::new();
    for row in &rows.secrets {
        let digest: &[u8] = row.try_get(1)?;
        digests.entry(row.try_get(0)?).or_default().push(Digest::from_bytes(digest.try_into()?));
    }
    let compiler = Compiler::knowing(before);
    parts.playbooks = by_organization(&rows.playbooks, |row| {
        let id: Uuid = row.try_get(2)?;
        Ok(Arc::new(Playbook {
            id: PlaybookId(id),
            slug: slug(row, 1)?,
            enabled: row.try_get(3)?,
            project: ProjectId(row.try_get(4)?),
            template: TemplateId(row.try_get(5)?),
            secrets: digests.remove(&id).unwrap_or_default(),
            input: row.try_get::<_, Option<&str>>(6)?.map(|text| compiler.compile(text, row.get(7), row.get(1))),
        }))
    })?;

    let mut snapshot = match ids {
        None => Snapshot::default(),
        Some(ids) => {
            let mut rest = before.clone();
            // By id, not by slug: the change may have been a new slug, or a deletion.
            rest.organizations.retain(|_, organization| !ids.contains(&organization.id.0));
            rest
        }
    };
    snapshot.killed = killed.contains(&None);
    for row in &rows.organizations {
        let id: Uuid = row.try_get(0)?;
        let organization = Organization {
            id: OrganizationId(id),
            slug: slug(row, 1)?,
            scoped: row.try_get(2)?,
            killed: killed.contains(&Some(id)),
            projects: parts.projects.remove(&id).unwrap_or_default(),
            templates: parts.templates.remove(&id).unwrap_or_default(),
            playbooks: parts.playbooks.remove(&id).unwrap_or_default(),
        };
        snapshot.organizations.insert(organization.slug.clone(), Arc::new(organization));
    }
    Ok(snapshot)
}

type ByOrganization<T> = HashMap<Uuid, HashMap<Slug, T>>;

struct Parts {
    projects: ByOrganization<ProjectId>,
    templates: ByOrganization<TemplateId>,
    playbooks: ByOrganization<Arc<Playbook>>,
}

/// Groups rows that begin with organization id and slug.
fn by_organization<T>(
    rows: &[Row],
    mut value: impl FnMut(&Row) -> anyhow::Result<T>,
) -> anyhow::Result<ByOrganization<T>> {
    let mut grouped: ByOrganization<T> = HashMap::new();
    for row in rows {
        grouped.entry(row.try_get(0)?).or_default().insert(slug(row, 1)?, value(row)?);
    }
    Ok(grouped)
}

fn slug(row: &Row, column: usize) -> anyhow::Result<Slug> {
    Ok(row.try_get::<_, &str>(column)?.parse()?)
}
