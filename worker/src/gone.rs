//! Who buries what has no target any more does so alone.
//!
//! Two messages can carry one delivery and a target each: the playbook was pointed elsewhere between them, or what had gone is
//! back. So while one lane finds no target and buries, another may insert the same delivery. Neither sees what the other has
//! not committed, and no index spans both tables: both would commit, a run *and* a dead letter (I3).
//!
//! Hence the lock. Who inserts shares it; who finds that a target has gone begins again, has it alone, and looks once more.
//! It is taken before the transaction's first snapshot, so that this sees all that was committed while we waited; and before
//! its first row, so that nobody waits in a circle.

use proto::dead_letter::LOCK;

use crate::outcome::Outcome;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Shared,
    Alone,
}

impl Lock {
    /// As a statement. Until the end of the transaction.
    pub(crate) fn take(self) -> String {
        let function = match self {
            Self::Shared => "pg_advisory_xact_lock_shared",
            Self::Alone => "pg_advisory_xact_lock",
        };
        format!("SELECT {function}({}, {})", LOCK.0, LOCK.1)
    }

    /// Whether these outcomes may be committed under it.
    pub(crate) fn allows(self, outcomes: &[Outcome]) -> bool {
        self == Self::Alone || !outcomes.contains(&Outcome::TargetNotFound)
    }
}
