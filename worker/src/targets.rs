//! Targets that are there: seen in the catalog once, they need not be looked for with every batch.
//!
//! They stay until something is lost from the catalog. Whoever loses it has the lock alone (`gone.rs`) until that is committed,
//! and gives a sequence another number meanwhile (migration V6). So what was seen when the sequence stood where it stands now is still
//! there, in a transaction that shares the lock. Another server, one that was started again, or another schema in the same place
//! has a sequence of its own.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use proto::envelope::Delivery;
use uuid::Uuid;

/// Organization, playbook, project and template.
pub(crate) type Target = [Uuid; 4];

pub(crate) fn target(delivery: &Delivery<'_>) -> Target {
    [delivery.organization_id.0, delivery.playbook_id.0, delivery.project_id.0, delivery.template_id.0]
}

/// Targets that are remembered, at most: 17 MB of them.
const MOST: usize = 200_000;

/// Where the sequence stands, as text: the server's start, the sequence's own id, its value. Nothing at all where the value may
/// not be seen. By a function, since the sequence could only be scanned, which a batch is not to do with any table (`commit.rs`).
pub(crate) const LOSSES: &str = "
    extract(epoch FROM pg_postmaster_start_time()) || ' ' || 'catalog_losses'::regclass::oid || ' '
    || pg_sequence_last_value('catalog_losses')";

/// All lanes' memory.
#[derive(Default)]
pub(crate) struct Targets(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// When these were there.
    losses: String,
    there: HashSet<Target>,
}

/// What was remembered when a batch began.
pub(crate) struct Remembered {
    losses: String,
    /// Of the targets that were asked for, in their order.
    pub(crate) there: Vec<bool>,
}

impl Targets {
    pub(crate) fn remembered(&self, targets: &[Target]) -> Remembered {
        let seen = self.seen();
        let there = targets.iter().map(|target| seen.there.contains(target)).collect();
        Remembered { losses: seen.losses.clone(), there }
    }

    /// Adds what was seen now. What was seen before is only kept where nothing was lost since.
    pub(crate) fn remember(&self, losses: &str, there: impl Iterator<Item = Target>) {
        let mut seen = self.seen();
        if seen.losses != losses {
            seen.there.clear();
            losses.clone_into(&mut seen.losses);
        }
        for target in there {
            if seen.there.len() >= MOST && !seen.there.contains(&target) {
                seen.there.clear();
            }
            seen.there.insert(target);
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Whole between any two of its lines that matter: a target is there when it is in the set.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    /// Whether it still holds.
    pub(crate) fn holds(&self, losses: &str) -> bool {
        self.losses == losses || !self.there.contains(&true)
    }
}
