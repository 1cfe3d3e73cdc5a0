//! Which deliveries of a batch are nothing but new: no run of their key, no dead letter of theirs, and a target.
//!
//! As of one snapshot. What the transaction then inserts for them cannot be outdated by more than the primary key of `runs`
//! tells: targets stay while the lock is shared (`gone.rs`), and what else buries a delivery finds a run of its key, or one
//! that Postgres refuses whoever inserts it.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::Object;
use proto::dead_letter::identity;
use tokio_postgres::{Statement, types::ToSql};
use uuid::Uuid;

use ops::postgres::Trouble;

use crate::{
    decode::Item,
    targets::{LOSSES, Target, Targets, target},
};

/// What stands in the way of a delivery, which targets are there, and where the sequence of losses stands. An index look-up for
/// each, whatever the size of the tables. Project and template that the playbook itself names, as most do, are there by its
/// foreign keys. The others are no `EXISTS`, which Postgres might answer by reading the whole table into a hash.
pub(crate) fn question() -> String {
    format!(
        "SELECT id, NULL::bytea, NULL::bigint, NULL FROM runs WHERE id = ANY ($1::uuid[])
         UNION ALL
         SELECT NULL, identity, NULL, NULL FROM dead_letters WHERE identity = ANY ($2::bytea[])
         UNION ALL
         SELECT NULL, NULL, target.position, NULL
         FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[])
             WITH ORDINALITY AS target (organization_id, playbook_id, project_id, template_id, position)
         JOIN playbooks ON playbooks.id = target.playbook_id AND playbooks.organization_id = target.organization_id
         WHERE (playbooks.project_id = target.project_id
                OR (SELECT true FROM projects WHERE id = target.project_id AND organization_id = target.organization_id))
           AND (playbooks.template_id = target.template_id
                OR (SELECT true FROM templates WHERE id = target.template_id AND organization_id = target.organization_id))
         UNION ALL
         SELECT NULL, NULL, NULL, {LOSSES}"
    )
}

/// Tells of each whether it is; of several with one run id only the first can be. Or `None`: something was lost from the catalog
/// since targets of theirs were seen, and now nothing is known of those.
pub(crate) async fn find(
    connection: &Object,
    question: &Statement,
    items: &[Item<'_>],
    targets: &Targets,
) -> Result<Option<Vec<bool>>, Trouble> {
    let ids: Vec<Uuid> = items.iter().map(|item| item.delivery.run_id.0).collect();
    let identities: Vec<Vec<u8>> =
        items.iter().map(|item| identity(item.delivery.run_id, &item.delivery.fingerprint)).collect();
    let (named, target_of) = named(items);
    let remembered = targets.remembered(&named);
    let asked: Vec<usize> = (0..named.len()).filter(|index| !remembered.there[*index]).collect();
    let part = |part: usize| asked.iter().map(|index| named[*index][part]).collect::<Vec<_>>();
    let parts: [Vec<Uuid>; 4] = std::array::from_fn(part);
    let parameters: [&(dyn ToSql + Sync); 6] = [&ids, &identities, &parts[0], &parts[1], &parts[2], &parts[3]];

    let (mut runs, mut buried, mut seen, mut losses) = (HashSet::new(), HashSet::new(), Vec::new(), None);
    for row in connection.query(question, &parameters).await? {
        if let Some(id) = row.try_get::<_, Option<Uuid>>(0)? {
            runs.insert(id);
        } else if let Some(identity) = row.try_get::<_, Option<Vec<u8>>>(1)? {
            buried.insert(identity);
        } else if let Some(position) = row.try_get::<_, Option<i64>>(2)? {
            let index = usize::try_from(position - 1).ok().and_then(|position| asked.get(position));
            seen.push(*index.ok_or(Trouble::Unsettled)?);
        } else {
            losses = row.try_get::<_, Option<String>>(3)?;
        }
    }
    let losses = losses.ok_or(Trouble::Unsettled)?;
    targets.remember(&losses, seen.iter().map(|index| named[*index]));
    if !remembered.holds(&losses) {
        return Ok(None);
    }
    let mut there = remembered.there;
    seen.into_iter().for_each(|index| there[index] = true);
    let mut last = None;
    let is_plain = |((id, identity), target): ((&Uuid, &Vec<u8>), &usize)| {
        let plain = last != Some(*id) && there[*target] && !runs.contains(id) && !buried.contains(identity);
        last = if plain { Some(*id) } else { last };
        plain
    };
    Ok(Some(ids.iter().zip(&identities).zip(&target_of).map(is_plain).collect()))
}

/// The targets of all, each once, and which of them is whose.
fn named(items: &[Item<'_>]) -> (Vec<Target>, Vec<usize>) {
    let (mut named, mut indexes) = (Vec::new(), HashMap::new());
    let index_of = items.iter().map(|item| {
        *indexes.entry(target(&item.delivery)).or_insert_with_key(|target| {
            named.push(*target);
            named.len() - 1
        })
    });
    let index_of = index_of.collect();
    (named, index_of)
}
