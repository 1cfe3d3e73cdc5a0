//! Step 2 of the transaction: what became of the deliveries that were not inserted.

use deadpool_postgres::Object;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use ops::postgres::Trouble;

use crate::{decode::Item, outcome::Outcome};

/// A statement of its own, because the insert cannot see a row that another lane committed after the insert began,
/// although it gave way to it.
const LOOKUP: &str = "
    SELECT runs.fingerprint = d.fingerprint,
           dead_letters.reason,
           playbooks.id IS NOT NULL AND projects.id IS NOT NULL AND templates.id IS NOT NULL
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::bytea[])
        WITH ORDINALITY AS d (id, organization_id, playbook_id, project_id, template_id, fingerprint, position)
    LEFT JOIN runs ON runs.id = d.id
    LEFT JOIN dead_letters ON dead_letters.identity = uuid_send(d.id) || d.fingerprint
    LEFT JOIN playbooks ON playbooks.id = d.playbook_id AND playbooks.organization_id = d.organization_id
    LEFT JOIN projects ON projects.id = d.project_id AND projects.organization_id = d.organization_id
    LEFT JOIN templates ON templates.id = d.template_id AND templates.organization_id = d.organization_id
    ORDER BY d.position";

/// Fills in the outcomes that are open.
pub(crate) async fn look_up(
    connection: &Object,
    items: &[Item<'_>],
    outcomes: Vec<Option<Outcome>>,
) -> Result<Vec<Outcome>, Trouble> {
    let open: Vec<_> = items.iter().zip(&outcomes).filter(|(_, known)| known.is_none()).map(|(item, _)| item).collect();
    let mut found = decide(connection, &open).await?.into_iter();
    let filled = outcomes.into_iter().map(|known| known.or_else(|| found.next()).ok_or(Trouble::Unsettled));
    filled.collect()
}

async fn decide(connection: &Object, items: &[&Item<'_>]) -> Result<Vec<Outcome>, Trouble> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = items.iter().map(|item| item.delivery.run_id.0).collect();
    let organizations: Vec<Uuid> = items.iter().map(|item| item.delivery.organization_id.0).collect();
    let playbooks: Vec<Uuid> = items.iter().map(|item| item.delivery.playbook_id.0).collect();
    let projects: Vec<Uuid> = items.iter().map(|item| item.delivery.project_id.0).collect();
    let templates: Vec<Uuid> = items.iter().map(|item| item.delivery.template_id.0).collect();
    let fingerprints: Vec<&[u8]> = items.iter().map(|item| item.delivery.fingerprint.0.as_slice()).collect();
    let statement = connection.prepare_cached(LOOKUP).await?;
    let parameters: [&(dyn ToSql + Sync); 6] = [&ids, &organizations, &playbooks, &projects, &templates, &fingerprints];
    // An index look-up for each delivery, however large the tables have grown since the plan was made.
    let plan = connection.batch_execute("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off");
    let (plan, rows) = tokio::join!(plan, connection.query(&statement, &parameters));
    plan?;
    let rows = rows?;
    let outcomes = rows.iter().map(|row| {
        let same: Option<bool> = row.try_get(0)?;
        let buried: Option<String> = row.try_get(1)?;
        let target: bool = row.try_get(2)?;
        Ok(match (same, buried) {
            (Some(true), _) => Outcome::Duplicate,
            (_, Some(reason)) => Outcome::Buried(reason),
            (Some(false), None) => Outcome::Conflict,
            (None, None) if !target => Outcome::TargetNotFound,
            // The run that the insert gave way to was deleted, or the target came back: begin again.
            (None, None) => return Err(Trouble::Unsettled),
        })
    });
    outcomes.collect()
}
