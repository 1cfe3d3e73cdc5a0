//! Who buries what has no target any more does so alone.
//!
//! Two messages can carry one delivery and a target each: the playbook was pointed elsewhere between them, or what had gone is
//! back. So while one lane finds no target and buries, another may insert the same delivery. Neither sees what the other has
//! not committed, and no index spans both tables: both would commit, a run *and* a dead letter (I3).
//!
//! Hence the lock. Who inserts shares it; who finds that a target has gone begins again, has it alone, and looks once more.
//! It is taken before the transaction's first snapshot, so that this sees all that was committed while we waited; and before
//! its first row, so that nobody waits in a circle. Who waits for it alone makes all others wait behind, so not for long:
//! somebody who shares it may be waiting for what an operator has locked.
//!
//! Who deletes a playbook, project or template has it alone too, while that is committed (migration V6): what this transaction
//! has found in the catalog is there until its runs are committed, and keep it there.

use proto::dead_letter::LOCK;

use crate::outcome::Outcome;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Shared,
    Alone,
}

impl Lock {
    /// In SQL. Until the end of the transaction.
    pub(crate) fn take(self) -> String {
        let (first, second) = LOCK;
        match self {
            Self::Shared => format!("SELECT pg_advisory_xact_lock_shared({first}, {second})"),
            Self::Alone => format!(
                "SET LOCAL lock_timeout = '3s'; SELECT pg_advisory_xact_lock({first}, {second}); SET LOCAL lock_timeout TO DEFAULT"
            ),
        }
    }

    /// Whether these outcomes may be committed under it.
    pub(crate) fn allows(self, outcomes: &[Outcome]) -> bool {
        self == Self::Alone || !outcomes.contains(&Outcome::TargetNotFound)
    }
}
