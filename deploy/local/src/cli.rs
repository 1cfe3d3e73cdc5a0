//! The commands of `runlatch-local`, one a file.

pub(crate) mod args;
pub(crate) mod daemon;
pub(crate) mod demo;
pub(crate) mod down;
pub(crate) mod files;
pub(crate) mod foreground;
pub(crate) mod print;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod up;
