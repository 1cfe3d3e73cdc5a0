//! Checks the model within bounds of one's own choice, for as long as that takes; 8 bytes of memory a state and some more.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use model::check;
use model::delivery::Case;
use model::gateway::REQUESTS;
use model::protocol::Protocol;

/// Looks at every state of the delivery protocol.
#[derive(Parser)]
struct Bounds {
    /// Requests in all.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=REQUESTS as i64))]
    requests: u8,
    /// How often the stream is lost.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=9))]
    losses: u8,
    /// Delete targets and bring them back.
    #[arg(long)]
    targets: bool,
    /// Take no two states for one.
    #[arg(long)]
    unreduced: bool,
}

fn main() -> ExitCode {
    let Bounds { requests, losses: stream_losses, targets: targets_go, unreduced } = Bounds::parse();
    let right = Protocol::new(Case::TwoPayloads);
    let verdict = check::exhaustively(Protocol { requests, stream_losses, targets_go, reduced: !unreduced, ..right });
    let told = writeln!(std::io::stdout(), "{verdict}");
    if told.is_ok() && verdict.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
