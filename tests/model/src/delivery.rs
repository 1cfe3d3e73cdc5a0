//! What is sent: two deliveries that have an idempotency key in common, and what the key and they are named by.

use crate::mutants::Mutation;

/// One of two deliveries under the same idempotency key. `A` is whichever is sent first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Delivery {
    /// The first.
    A,
    /// The other.
    B,
}

/// Both, for loops.
pub const DELIVERIES: [Delivery; 2] = [Delivery::A, Delivery::B];

impl Delivery {
    /// Position in tables with a cell for each delivery.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// In what the two deliveries differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Case {
    /// Two payloads, sent to one playbook.
    TwoPayloads,
    /// One payload, sent to two playbooks of an organization whose keys are scoped to the organization.
    OrganizationScope,
    /// One payload, sent to two playbooks whose keys are their own.
    PlaybookScope,
}

/// The project and template that a request was resolved to. A delivery that names none is for those that its playbook is
/// pointed at as it arrives; so a retry of the same may be for others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Target {
    /// One that may be deleted and come back.
    First,
    /// One that stays.
    Second,
}

/// A key within its scope: what must not have two runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Key(u8);

/// Name of a run. Computed it is as good as the key; only a mutant draws others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RunId(u8);

/// Most runs that can be named: two keys, or a run drawn for each request.
pub const RUNS: usize = 4;

/// What a delivery says, hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint(u8);

impl Key {
    /// Position in tables with a cell for each key.
    pub fn index(self) -> usize {
        self.0.into()
    }
}

impl RunId {
    /// Position in tables with a cell for each run.
    pub fn index(self) -> usize {
        self.0.into()
    }

    /// All that there can be.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..RUNS as u8).map(Self)
    }

    /// The `n`th that was drawn.
    pub fn drawn(n: u8) -> Self {
        Self(n)
    }
}

impl Case {
    /// The key of a delivery, in its scope. What the contract says, whatever a mutant makes of it.
    pub fn key(self, delivery: Delivery) -> Key {
        match (self, delivery) {
            (Self::TwoPayloads | Self::OrganizationScope, _) | (Self::PlaybookScope, Delivery::A) => Key(0),
            (Self::PlaybookScope, Delivery::B) => Key(1),
        }
    }

    /// Computed over scope and key, by every gateway alike.
    pub fn run_id(self, delivery: Delivery, mutation: Option<Mutation>) -> RunId {
        match mutation {
            Some(Mutation::RunIdWithoutScope) => RunId(0),
            _ => RunId(self.key(delivery).0),
        }
    }

    /// Over playbook, target and payload.
    pub fn fingerprint(self, delivery: Delivery, mutation: Option<Mutation>) -> Fingerprint {
        match (self, mutation) {
            (Self::OrganizationScope | Self::PlaybookScope, Some(Mutation::FingerprintWithoutPlaybook)) => {
                Fingerprint(0)
            }
            _ => Fingerprint(delivery as u8),
        }
    }
}
