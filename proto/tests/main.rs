//! Everything that crosses a wire, pinned and mangled.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that has failed")]

mod claim;
mod envelope;
mod golden;
mod mangled;
mod payload;
mod secret;
mod strategies;
mod words;
