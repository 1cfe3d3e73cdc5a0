//! The worker: turns queued messages into runs.
//!
//! A few lanes work side by side, each on one batch at a time. Follow one message through [`process`]:
//!
//! | step | where | makes |
//! |---|---|---|
//! | whatever is waiting is pulled, up to a count and a byte limit | [`pull`] | [`pull::Batch`] |
//! | a message that came back too often is counted before it is looked at | [`suspect`] | [`suspect::Cleared`] |
//! | its deliveries are read | [`decode`] | [`decode::Decoded`] |
//! | one transaction [inserts](insert) or [copies](copy) the runs, [looks up](lookup) the rest, [buries](bury) what cannot be a run | [`commit`] | [`commit::Committed`] |
//! | and only with that proof it is acked | [`message`] | |
//!
//! [`outcome`] decides what becomes of a delivery. [`queue`] keeps stream and consumer there, [`database`] knows
//! whether Postgres is well and [`session`] what each connection to it begins with, [`stalled`] ends those that hold up others, [`compact`] keeps the record of settled
//! sequences short, and [`run()`] ties them together.

mod backoff;
mod bury;
mod commit;
mod compact;
pub mod config;
mod copy;
mod database;
mod decode;
mod forgotten;
mod gone;
mod health;
mod insert;
mod known;
mod lookup;
mod message;
mod metrics;
mod nats;
mod outcome;
mod plain;
mod process;
mod pull;
mod queue;
mod queue_lock;
mod run;
mod session;
mod stalled;
mod stream;
mod suspect;
mod targets;

pub use run::run;
