//! What the worker that buries and the operator who digs up must agree on.

use std::{fmt, str::FromStr};

use crate::{Fingerprint, RunId};

/// Why a delivery, or a message, could not become a run. Each has a stable code, which stands in `dead_letters.reason`
/// and is the label of the worker's metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The key's run has another payload or target.
    IdempotencyConflict,
    /// Playbook, project or template had gone since the delivery was accepted.
    TargetNotFound,
    /// Postgres refuses the row's data.
    DataRefused,
    /// No envelope.
    MalformedMessage,
    /// Workers that began it did not live to settle it.
    PoisonMessage,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::IdempotencyConflict,
        Self::TargetNotFound,
        Self::DataRefused,
        Self::MalformedMessage,
        Self::PoisonMessage,
    ];

    /// The stable code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IdempotencyConflict => "idempotency_conflict",
            Self::TargetNotFound => "target_not_found",
            Self::DataRefused => "data_refused",
            Self::MalformedMessage => "malformed_message",
            Self::PoisonMessage => "poison_message",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no reason. Names those that there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected one of {}", Reason::ALL.map(Reason::as_str).join(", "))]
pub struct UnknownReason;

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(UnknownReason)
    }
}

/// Numbers of the advisory lock in Postgres that keeps runs and dead letters of one delivery apart: who inserts runs shares it,
/// who may bury what a run could be inserted for has it alone, and so has who deletes what a run could name (migration V6).
/// "rlch" in ASCII; 1 and 2 are the operator's, 3 the record's.
pub const LOCK: (i32, i32) = (0x726c_6368, 4);

/// What the dead letter of a delivery is unique by, so that a redelivery of the same settles without a second one.
pub fn identity(run: RunId, fingerprint: &Fingerprint) -> Vec<u8> {
    [run.0.as_bytes().as_slice(), &fingerprint.0].concat()
}

/// What the dead letter of a message is unique by that was not read.
pub fn raw_identity(message: &[u8]) -> Vec<u8> {
    blake3::hash(message).as_bytes().to_vec()
}
