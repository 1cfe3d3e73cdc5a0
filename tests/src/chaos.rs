//! Chaos: a round throws a seeded plan at a stack while a seeded list of faults is done to every part of it, heals all,
//! sends again what has no definite answer, and has the oracle of `runlatch drill` judge.
//!
//! The list is drawn up front and can be printed: a seed that failed is a list that can be read.

mod excuse;
mod fault;
mod heal;
mod perform;
mod round;
mod script;
mod watch;

pub use fault::{Catalog, Fail, Fault, Redis};
pub use round::{Outcome, Size, round};
pub use script::{Op, Script};
