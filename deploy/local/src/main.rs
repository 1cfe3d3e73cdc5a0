//! `runlatch-local`: the whole of Runlatch on this machine, in the foreground or in the background.
//!
//! Exit codes: 0, done; 1, failed (of `status`: something is not ready); 3, `status` found nothing up; 64, bad usage.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use local::install::install;

use crate::cli::{args, daemon, down, foreground, print, status, up};

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(refusal) if refusal.use_stderr() => {
            // One line, which says what is wrong; clap would add the usage.
            let text = refusal.to_string();
            eprintln!("{}", text.lines().next().unwrap_or_default());
            return ExitCode::from(64);
        }
        Err(help) => {
            print::line(help.to_string().trim_end());
            return ExitCode::SUCCESS;
        }
    };
    let done = match args.command {
        args::Command::Install => install(&mut print::step).map(|()| ExitCode::SUCCESS),
        args::Command::Run(size) => foreground::run(size),
        args::Command::Up(size) => up::up(size),
        args::Command::Daemon(size) => daemon::run(size),
        args::Command::Status => status::status(),
        args::Command::Down => down::down(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
