//! The webhook gateway. The life of a delivery, from accept to answer:
//!
//! 1. [`server`] accepts a connection within bounds; `connection` serves it and hands each request to
//!    `service`, which says what it is for: a delivery, a `batch` of them, or a question (`status`).
//! 2. [`handler`] runs the contract's checks in order: [`request::route`] → [`admission`] → [`auth`] (against the
//!    [`catalog`] in memory) → [`request::key`] → [`request::query`] → [`request::body`] → `input` schema →
//!    target.
//! 3. [`claims`] claims the idempotency key in Redis and judges what it finds.
//! 4. [`publish`] groups the delivery with its neighbours into one message of the [`queue`] and awaits its
//!    acknowledgement; the marker notes in Redis, later, that it was published.
//! 5. [`respond`] writes the answer. Refusals of every step meet their status code in [`refusal`].
//!
//! Each step consumes what the step before it made, so that none can be left out.

mod activity;
pub mod admission;
pub mod aside;
pub mod auth;
mod batch;
pub mod catalog;
pub mod claims;
pub mod config;
mod connection;
mod cors;
mod crowd;
pub mod handler;
mod health;
mod input;
mod linger;
pub mod metrics;
mod openapi;
pub mod publish;
pub mod queue;
pub mod refusal;
pub mod request;
pub mod respond;
mod run;
pub mod server;
mod service;
mod status;
mod wait;

pub use run::run;
