//! The command line as its users run it: the real program against a real Postgres. Only what a catalog file may say is
//! checked without either, because there are so many things to say.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that has failed")]

mod catalog;
mod catalog_file;
mod database;
mod dead_letters;
mod drill;
mod kill_switch;
mod letters;
mod migrate;
mod roles;
mod secret;
mod usage;
