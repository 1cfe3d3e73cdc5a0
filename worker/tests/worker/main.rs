//! The worker on real servers. Messages are published to the broker directly, so that a test decides what is in each,
//! and while the worker is stopped, so that it decides what is in a batch.

mod batches;
mod faults;
mod forgotten;
mod large;
mod messages;
mod record;
mod sessions;
mod suspects;
mod targets;
mod world;
