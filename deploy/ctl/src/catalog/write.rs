//! Writes one change. Everything is named by slug: rows made a moment ago have no id that we know.

use tokio_postgres::{Transaction, types::ToSql};

use super::plan::{Change, Entry};
use crate::Error;

pub(super) async fn change(transaction: &Transaction<'_>, change: &Change<'_>) -> Result<(), Error> {
    let organization = change.organization.as_str();
    let new = change.differences.is_none();
    let written = match change.entry {
        Entry::Organization(entry) if new => {
            let insert = "INSERT INTO organizations (slug, name, idempotency_scope) VALUES ($1::text, $2, $3)";
            transaction.execute(insert, &[&organization, &entry.name, &entry.scope.as_str()]).await?
        }
        Entry::Organization(entry) => {
            let update = "UPDATE organizations SET name = $2 WHERE slug = $1::text";
            transaction.execute(update, &[&organization, &entry.name]).await?
        }
        Entry::Project(slug, name) => {
            named(transaction, "projects", new, [&organization, &slug.as_str(), &name]).await?
        }
        Entry::Template(slug, name) => {
            named(transaction, "templates", new, [&organization, &slug.as_str(), &name]).await?
        }
        Entry::Playbook(slug, entry) => {
            let (project, template) = (entry.project.as_str(), entry.template.as_str());
            let (schema, mode) =
                (entry.input.as_ref().map(|input| &input.schema), entry.input.as_ref().map(|input| input.mode));
            let mode = mode.unwrap_or_default().as_str();
            let values: [&(dyn ToSql + Sync); 8] =
                [&organization, &slug.as_str(), &entry.name, &project, &template, &entry.enabled, &schema, &mode];
            transaction.execute(if new { INSERT_PLAYBOOK } else { UPDATE_PLAYBOOK }, &values).await?
        }
    };
    // The lock keeps other applies away, not other hands: what the plan was made from may have changed.
    match written {
        1 => Ok(()),
        _ => Err(Error::Failed(format!("{change}: somebody else changed the catalog meanwhile; nothing is applied"))),
    }
}

async fn named(
    transaction: &Transaction<'_>,
    table: &str,
    new: bool,
    [organization, slug, name]: [&&str; 3],
) -> Result<u64, Error> {
    let sql = if new {
        format!(
            "INSERT INTO {table} (organization_id, slug, name)
             SELECT id, $2::text, $3 FROM organizations WHERE slug = $1::text"
        )
    } else {
        format!(
            "UPDATE {table} e SET name = $3 FROM organizations o
             WHERE o.id = e.organization_id AND o.slug = $1::text AND e.slug = $2::text"
        )
    };
    Ok(transaction.execute(&sql, &[organization, slug, name]).await?)
}

const INSERT_PLAYBOOK: &str = "
    INSERT INTO playbooks (organization_id, slug, name, project_id, template_id, enabled, input_schema, input_schema_mode)
    SELECT o.id, $2::text, $3, p.id, t.id, $6, $7::text::json, $8
    FROM organizations o
    JOIN projects p ON p.organization_id = o.id AND p.slug = $4::text
    JOIN templates t ON t.organization_id = o.id AND t.slug = $5::text
    WHERE o.slug = $1::text";

const UPDATE_PLAYBOOK: &str = "
    UPDATE playbooks b SET name = $3, project_id = p.id, template_id = t.id, enabled = $6, input_schema = $7::text::json,
           input_schema_mode = $8
    FROM organizations o
    JOIN projects p ON p.organization_id = o.id AND p.slug = $4::text
    JOIN templates t ON t.organization_id = o.id AND t.slug = $5::text
    WHERE b.organization_id = o.id AND o.slug = $1::text AND b.slug = $2::text";
