//! The oracle must be able to fail: on made-up books here, and on a real system that was spoiled.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that has failed")]

mod allowed;
mod book;
mod excused;
mod fallen;
mod sheet;
mod spoiled;
mod violated;
