//! The delivery protocol as a model, small enough to look at every state that it can get into.
//!
//! This is the protocol's specification as well: `gateway/` and `worker/` do the same, with HTTP and SQL around it. Read it
//! in the order in which a delivery meets it:
//!
//! | | |
//! |---|---|
//! | [`delivery`] | what is sent, and how key, run id and fingerprint come from it |
//! | [`client`] | who sends, and the book of what they were told |
//! | [`gateway`] | claim → publish → PubAck → answer, and the mark |
//! | [`redis`] | claims, until it forgets |
//! | [`queue`] | messages of one or two deliveries, until they are acked, or the stream is lost |
//! | [`worker`] | pull → insert → look-up → COMMIT → ack |
//! | [`postgres`] | runs and dead letters |
//! | [`properties`] | I1–I6: what must hold in every state |
//! | [`outcomes`] | what must be possible |
//! | [`mutants`] | protocols that are wrong in one point, and the property that must notice |
//!
//! [`step`] lists all that can happen; [`protocol`] puts it together for `stateright`; [`canonical`] says which states count
//! as one; [`check`] runs it.
//!
//! # Bounds
//!
//! Two deliveries under one key, three requests, two gateways, two workers, one stream that is lost once. All else has no
//! bound: requests fail, gateways and workers die, acks get lost, messages are redelivered, Redis forgets, comes back with
//! what it once held, and falls silent, at any step and any number of times. That is more than a bound of one or two
//! each, and fewer states, as nothing needs to be counted.
//!
//! # What is not in it
//!
//! Time, so also windows and back-off; the contract's checks before the claim; a stream that loses messages but keeps its
//! name and age (its replicas' business); targets that vanish, rows that Postgres refuses and messages that kill workers,
//! which end as dead letters whatever the order of things.

pub mod canonical;
pub mod check;
pub mod client;
pub mod delivery;
pub mod gateway;
pub mod mutants;
pub mod outcomes;
pub mod postgres;
pub mod properties;
pub mod protocol;
pub mod queue;
pub mod redis;
pub mod state;
pub mod step;
pub mod worker;
