//! A private, supervised stack of real servers on free ports.

pub mod install;
pub mod servers;
