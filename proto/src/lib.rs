//! What the gateway and the worker must agree on. No I/O: everything here is a function of its arguments.
//!
//! A delivery is *identified* by a [`RunId`], computed from its [`Scope`] and [`IdempotencyKey`]; what it *says* is
//! pinned by a [`Fingerprint`] of its playbook, [`Selector`] and [`Payload`]. While a key is remembered, Redis holds
//! a [`Claim`] under the run id; the queue carries [`envelope`]s; [`secret`] says who may send one.
//!
//! Everything that crosses the wire is pinned by literal bytes in `tests/golden.rs`: a change that alters them needs
//! a new version number, never a new golden.

pub mod claim;
pub mod dead_letter;
pub mod envelope;
mod fingerprint;
mod id;
mod key;
mod payload;
pub mod queue;
pub mod reply;
mod run_id;
pub mod secret;
mod selector;
mod slug;
mod text;
mod timestamp;

pub use claim::Claim;
pub use fingerprint::Fingerprint;
pub use id::{OrganizationId, PlaybookId, ProjectId, TemplateId};
pub use key::{IdempotencyKey, InvalidKey};
pub use payload::{InvalidPayload, MAX_NESTING, Payload};
pub use queue::StreamEpoch;
pub use run_id::{RunId, Scope};
pub use selector::Selector;
pub use slug::{InvalidSlug, Slug};
pub use timestamp::{InvalidTimestamp, Timestamp};
