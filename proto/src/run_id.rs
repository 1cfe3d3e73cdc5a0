//! The run id: computed, never drawn, so that every gateway names the same run for the same key, with or without
//! Redis (I1, I2).

use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{IdempotencyKey, OrganizationId, PlaybookId};

/// BLAKE3's derive-key mode wants a string of the application's own, globally unique and never reused.
static CONTEXT: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("runlatch 2026-11 run id of scope and idempotency key, v1"));

/// Within what an idempotency key is unique. The row's uuid, so that a renamed slug changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// The default: one upstream event may fan out to several playbooks under one key.
    Playbook(PlaybookId),
    /// The whole organization: the same key on another playbook is another target, hence a conflict.
    Organization(OrganizationId),
}

impl Scope {
    const fn id(&self) -> &Uuid {
        match self {
            Self::Playbook(id) => &id.0,
            Self::Organization(id) => &id.0,
        }
    }
}

/// Names a run, and is the primary key of `runs`: that unique index has the last word on "exactly once".
///
/// A UUIDv8 ([RFC 9562, section 5.8](https://www.rfc-editor.org/rfc/rfc9562#section-5.8)) over the first 16 bytes of
/// BLAKE3 in derive-key mode over scope id and key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

impl RunId {
    /// The one run that `key` names within `scope`.
    pub fn compute(scope: Scope, key: &IdempotencyKey) -> Self {
        // The scope id has a fixed length, so no two (scope, key) pairs share an input.
        let hash = blake3::Hasher::new_from_context_key(&CONTEXT)
            .update(scope.id().as_bytes())
            .update(key.as_str().as_bytes())
            .finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_bytes()[..16]);
        Self(Uuid::new_v8(bytes))
    }
}

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
