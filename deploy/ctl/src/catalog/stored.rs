//! What the database has of the organizations that a file names.

use proto::Slug;
use schema::Mode;
use tokio_postgres::{Row, Transaction};

use super::{Catalog, Input, Organization, Playbook, Scope};
use crate::Error;

/// Loads the named organizations with all that is theirs; those that do not exist are absent.
pub(super) async fn load<'a>(
    transaction: &Transaction<'_>,
    named: impl Iterator<Item = &'a Slug>,
) -> Result<Catalog, Error> {
    let named: Vec<&str> = named.map(Slug::as_str).collect();
    let mut catalog = Catalog::new();

    let organizations = "SELECT slug::text, name, idempotency_scope FROM organizations WHERE slug::text = ANY ($1)";
    for row in transaction.query(organizations, &[&named]).await? {
        let scope = match row.get(2) {
            "organization" => Scope::Organization,
            _ => Scope::Playbook,
        };
        catalog.insert(slug(&row, 0)?, Organization { name: row.get(1), scope, ..Organization::default() });
    }
    for table in ["projects", "templates"] {
        let entries = format!(
            "SELECT o.slug::text, e.slug::text, e.name FROM {table} e JOIN organizations o ON o.id = e.organization_id
             WHERE o.slug::text = ANY ($1)"
        );
        for row in transaction.query(&entries, &[&named]).await? {
            let organization = catalog.entry(slug(&row, 0)?).or_default();
            let entries = if table == "projects" { &mut organization.projects } else { &mut organization.templates };
            entries.insert(slug(&row, 1)?, row.get(2));
        }
    }
    let playbooks = "
        SELECT o.slug::text, b.slug::text, b.name, p.slug::text, t.slug::text, b.enabled, b.input_schema::text, b.input_schema_mode
        FROM playbooks b JOIN organizations o ON o.id = b.organization_id
        JOIN projects p ON p.id = b.project_id JOIN templates t ON t.id = b.template_id
        WHERE o.slug::text = ANY ($1)";
    for row in transaction.query(playbooks, &[&named]).await? {
        let mode = match row.get(7) {
            "shadow" => Mode::Shadow,
            _ => Mode::Enforce,
        };
        let input = row.get::<_, Option<String>>(6).map(|schema| Input { schema, mode });
        let playbook = Playbook {
            name: row.get(2),
            project: slug(&row, 3)?,
            template: slug(&row, 4)?,
            enabled: row.get(5),
            input,
        };
        catalog.entry(slug(&row, 0)?).or_default().playbooks.insert(slug(&row, 1)?, playbook);
    }
    Ok(catalog)
}

fn slug(row: &Row, column: usize) -> Result<Slug, Error> {
    let text: &str = row.get(column);
    text.parse().map_err(|error| Error::Failed(format!("the database has a slug {text:?}: {error}")))
}
