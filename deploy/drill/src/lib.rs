//! Throws deliveries at a stack while parts of it are killed, and judges what became of them.
//!
//! A [`Plan`] is drawn from a seed: every delivery, duplicate and conflicting reuse, and before which of them what is
//! done to the stack. [`Throw`] sends it as integrators do, concurrently and with retries, and writes into the
//! [`Book`] what was sent and what was answered, nothing else. At the end [`Found`] reads what Postgres holds, and
//! [`judge`] holds the one against the other: I1 to I4, I6, and what an answer may say.
//!
//! The judge trusts nothing that the system says of itself. It knows what was sent, what was answered, and what is there.

mod audit;
mod book;
mod canary;
mod catalog;
mod client;
mod fault;
mod found;
mod load;
mod payload;
mod plan;
mod queue;
mod report;
mod run;
mod sabotage;
mod verdict;

pub use audit::{audit, audit_meanwhile};
pub use book::{Answer, Attempt, Book, Event, Key, Note, Record, Sent, Ticket, What};
pub use catalog::{Ids, Place, Scope, places};
pub use client::{Client, Door};
pub use fault::{Kill, Part};
pub use found::{Found, Letter, Row, Settled};
pub use load::{Policy, Throw};
pub use plan::{Act, Kind, Plan, Sending};
pub use queue::drained;
pub use run::{Aftermath, Drill, Progress};
pub use sabotage::Sabotage;
pub use verdict::{Figures, Invariant, ONE_STALL, Verdict, Violation, judge, missing};
