//! Where a delivery is to go now.

use proto::envelope::Delivery;
use tokio_postgres::Transaction;
use uuid::Uuid;

use crate::Error;

/// Project and template that it was accepted for, where the organization still has them: that is what its sender was
/// promised. Otherwise what a gateway would find now: by the name that the sender gave, or the playbook's own.
const RESOLVE: &str = "
    SELECT CASE WHEN EXISTS (SELECT FROM projects WHERE id = $3 AND organization_id = $1) THEN $3
                WHEN $5::text IS NULL THEN p.project_id
                ELSE (SELECT id FROM projects WHERE organization_id = $1 AND slug::text = $5) END,
           CASE WHEN EXISTS (SELECT FROM templates WHERE id = $4 AND organization_id = $1) THEN $4
                WHEN $6::text IS NULL THEN p.template_id
                ELSE (SELECT id FROM templates WHERE organization_id = $1 AND slug::text = $6) END
    FROM playbooks AS p WHERE p.id = $2 AND p.organization_id = $1";

#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) project: Uuid,
    pub(super) template: Uuid,
}

/// Or which part of it is missing.
pub(super) async fn resolve(
    transaction: &Transaction<'_>,
    delivery: &Delivery<'_>,
) -> Result<Result<Target, String>, Error> {
    let slug = |slug: &Option<proto::Slug>| slug.as_ref().map(ToString::to_string);
    let (project, template) = (slug(&delivery.target.project), slug(&delivery.target.template));
    let (organization, playbook) = (delivery.organization_id.0, delivery.playbook_id.0);
    let (project_id, template_id) = (delivery.project_id.0, delivery.template_id.0);
    let row = transaction
        .query_opt(RESOLVE, &[&organization, &playbook, &project_id, &template_id, &project, &template])
        .await?;
    // Its run id was computed from the playbook's id, or its organization's: no other can stand in.
    let Some(row) = row else { return Ok(Err("its playbook is gone, and no other can stand in for it".to_owned())) };
    let missing =
        |kind: &str, slug: Option<String>| format!("its organization still has no {kind} {}", slug.unwrap_or_default());
    Ok(match (row.get(0), row.get(1)) {
        (Some(project), Some(template)) => Ok(Target { project, template }),
        (None, _) => Err(missing("project", project)),
        (_, None) => Err(missing("template", template)),
    })
}
