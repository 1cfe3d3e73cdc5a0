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
//! Playbooks that are pointed at other targets, targets that are deleted and come back, and operators who replay dead letters are
//! looked at apart ([`Protocol::targets_go`](protocol::Protocol::targets_go)), with two requests.
//!
//! # What is not in it
//!
//! Time, so also windows and back-off. The contract's checks before the claim. Rows that Postgres refuses and messages that
//! kill workers: both end as dead letters, as those for lost targets do. Batches of several messages: more of them in a
//! transaction are more deliveries in it, which groups show, and an ack that is not reached is one that was lost.
//!
//! # What it relies on
//!
//! A stream keeps what it acknowledged, or is another one: that is its replicas' business, and its disks'. A mutant shows what
//! follows otherwise ([`mutants`]). And what Postgres has committed is there.

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
