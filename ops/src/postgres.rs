//! Postgres as both processes use it: a connection that is given back only whole, and what may be said of what went wrong.

mod connection;
mod trouble;

pub use connection::Connection;
pub use trouble::Trouble;
