//! Which deliveries of a batch are nothing but new: no run of their key, no dead letter of theirs, and a target.
//!
//! As of one snapshot. What the transaction then inserts for them cannot be outdated by more than the primary key of `runs`
//! tells: targets stay while the lock is shared (`gone.rs`), and what else buries a delivery finds a run of its key, or one
//! that Postgres refuses whoever inserts it.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::Object;
use proto::{dead_letter::identity, envelope::Delivery};
use tokio_postgres::{Statement, types::ToSql};
use uuid::Uuid;

use crate::{decode::Item, trouble::Trouble};

/// What stands in the way of a delivery, and which of the batch's targets are there. An index look-up for each, whatever the
/// size of the tables; targets are asked for once each, not for each delivery.
pub(crate) const QUESTION: &str = "
    SELECT id, NULL::bytea, NULL::bigint FROM runs WHERE id = ANY ($1::uuid[])
    UNION ALL
    SELECT NULL, identity, NULL FROM dead_letters WHERE identity = ANY ($2::bytea[])
    UNION ALL
    SELECT NULL, NULL, target.position
    FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[])
        WITH ORDINALITY AS target (organization_id, playbook_id, project_id, template_id, position)
    JOIN playbooks ON playbooks.id = target.playbook_id AND playbooks.organization_id = target.organization_id
    JOIN projects ON projects.id = target.project_id AND projects.organization_id = target.organization_id
    JOIN templates ON templates.id = target.template_id AND templates.organization_id = target.organization_id";

type Target = [Uuid; 4];

fn target(delivery: &Delivery<'_>) -> Target {
    [delivery.organization_id.0, delivery.playbook_id.0, delivery.project_id.0, delivery.template_id.0]
}

/// Tells of each whether it is. Of several with one run id only the first can be.
pub(crate) async fn find(connection: &Object, question: &Statement, items: &[Item<'_>]) -> Result<Vec<bool>, Trouble> {
    let ids: Vec<Uuid> = items.iter().map(|item| item.delivery.run_id.0).collect();
    let identities: Vec<Vec<u8>> =
        items.iter().map(|item| identity(item.delivery.run_id, &item.delivery.fingerprint)).collect();
    let mut targets: Vec<Target> = Vec::new();
    let mut positions: HashMap<Target, usize> = HashMap::new();
    let target_of: Vec<usize> = items
        .iter()
        .map(|item| {
            *positions.entry(target(&item.delivery)).or_insert_with_key(|target| {
                targets.push(*target);
                targets.len() - 1
            })
        })
        .collect();
    let part = |part: usize| targets.iter().map(|target| target[part]).collect::<Vec<_>>();
    let parts: [Vec<Uuid>; 4] = std::array::from_fn(part);
    let parameters: [&(dyn ToSql + Sync); 6] = [&ids, &identities, &parts[0], &parts[1], &parts[2], &parts[3]];

    let (mut runs, mut buried, mut there) = (HashSet::new(), HashSet::new(), vec![false; targets.len()]);
    for row in connection.query(question, &parameters).await? {
        if let Some(id) = row.try_get::<_, Option<Uuid>>(0)? {
            runs.insert(id);
        } else if let Some(identity) = row.try_get::<_, Option<Vec<u8>>>(1)? {
            buried.insert(identity);
        } else if let Some(position) = row.try_get::<_, Option<i64>>(2)? {
            let there = usize::try_from(position - 1).ok().and_then(|position| there.get_mut(position));
            *there.ok_or(Trouble::Unsettled)? = true;
        }
    }
    let mut last = None;
    let is_plain = |((id, identity), target): ((&Uuid, &Vec<u8>), &usize)| {
        let plain = last != Some(*id) && there[*target] && !runs.contains(id) && !buried.contains(identity);
        last = if plain { Some(*id) } else { last };
        plain
    };
    Ok(ids.iter().zip(&identities).zip(&target_of).map(is_plain).collect())
}
