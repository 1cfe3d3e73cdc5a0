//! What may be typed.

use clap::{Parser, Subcommand, value_parser};

/// Runlatch on this machine: real servers, a gateway, a worker.
#[derive(Parser)]
#[command(name = "runlatch-local", version, subcommand_required = true, arg_required_else_help = false)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start everything, show a delivery become a run, and stay until Ctrl-C.
    Run(Size),
    /// Start everything in the background; its addresses are in .local/stack.env.
    Up(Size),
    /// One line for each process of the background stack: name, pid, port, state.
    ///
    /// Exits 0 where all are ready, 1 where one is not, 3 where nothing is up.
    Status,
    /// Stop the background stack.
    Down,
    /// Install those of PostgreSQL, Redis and NATS that are missing.
    Install,
    /// What `up` starts.
    #[command(hide = true)]
    Daemon(Size),
}

#[derive(clap::Args, Clone, Copy)]
pub(crate) struct Size {
    /// How many gateways.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = value_parser!(u16).range(1..=64))]
    pub(crate) gateways: u16,
    /// How many workers.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = value_parser!(u16).range(1..=64))]
    pub(crate) workers: u16,
}
