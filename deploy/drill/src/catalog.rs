//! The playbooks that are delivered to, as their ids: slugs may be renamed meanwhile.

use std::collections::BTreeMap;

use anyhow::Result;
use tokio_postgres::Client;
use uuid::Uuid;

/// Within what a key is unique.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// The playbook.
    Playbook,
    /// Its organization.
    Organization,
}

/// What rows say of a delivery: to whom, and on what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ids {
    /// `organization_id`.
    pub organization: Uuid,
    /// `playbook_id`.
    pub playbook: Uuid,
    /// `project_id`.
    pub project: Uuid,
    /// `template_id`.
    pub template: Uuid,
}

/// A playbook.
#[derive(Clone, Debug)]
pub struct Place {
    /// Slug of the organization, as it was at first.
    pub organization: String,
    /// Slug of the playbook, as it was at first.
    pub playbook: String,
    /// Within what its keys are unique.
    pub unique: Scope,
    /// Of a delivery that names no target. As they stay.
    pub ids: Ids,
    /// The organization's projects by slug.
    pub projects: BTreeMap<String, Uuid>,
    /// The organization's templates by slug.
    pub templates: BTreeMap<String, Uuid>,
}

impl Place {
    /// `organization/playbook`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.organization, self.playbook)
    }

    /// Of a delivery that may name one: none where there is no such project or template.
    pub fn target(&self, project: Option<&String>, template: Option<&String>) -> Option<Ids> {
        let project = project.map_or(Some(self.ids.project), |slug| self.projects.get(slug).copied())?;
        let template = template.map_or(Some(self.ids.template), |slug| self.templates.get(slug).copied())?;
        Some(Ids { project, template, ..self.ids })
    }

    /// Name of the scope of its keys.
    pub fn scope(&self) -> String {
        match self.unique {
            Scope::Playbook => self.name(),
            Scope::Organization => self.organization.clone(),
        }
    }
}

/// All enabled playbooks, in the order of their names.
pub async fn places(database: &Client) -> Result<Vec<Place>> {
    let playbooks = database
        .query(
            "SELECT o.slug::text, p.slug::text, o.idempotency_scope, o.id, p.id, p.project_id, p.template_id
             FROM playbooks p JOIN organizations o ON o.id = p.organization_id WHERE p.enabled ORDER BY 1, 2",
            &[],
        )
        .await?;
    let mut places = vec![];
    for row in playbooks {
        let ids = Ids { organization: row.get(3), playbook: row.get(4), project: row.get(5), template: row.get(6) };
        places.push(Place {
            organization: row.get(0),
            playbook: row.get(1),
            unique: if row.get::<_, &str>(2) == "organization" { Scope::Organization } else { Scope::Playbook },
            ids,
            projects: slugs(database, "projects", ids.organization).await?,
            templates: slugs(database, "templates", ids.organization).await?,
        });
    }
    Ok(places)
}

async fn slugs(database: &Client, table: &str, organization: Uuid) -> Result<BTreeMap<String, Uuid>> {
    let query = format!("SELECT slug::text, id FROM {table} WHERE organization_id = $1");
    let rows = database.query(&query, &[&organization]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
