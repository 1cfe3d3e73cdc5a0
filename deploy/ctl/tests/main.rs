//! The command line as its users run it: the real program against a real Postgres.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that has failed")]

mod catalog;
mod database;
mod kill_switch;
mod migrate;
mod roles;
mod secret;
mod usage;
