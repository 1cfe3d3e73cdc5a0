//! `runlatch`, the operator's command line. See the library for what it does; this only wires.

use std::{io::Write, process::ExitCode};

use clap::Parser;

fn main() -> ExitCode {
    let cli = match ctl::Cli::try_parse() {
        Ok(cli) => cli,
        // Not errors, but how clap hands over `--help` and `--version`.
        Err(text) if !text.use_stderr() => {
            let printed = write!(std::io::stdout(), "{text}");
            return if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        Err(error) => return fail(&ctl::Error::from(error)),
    };
    // One connection and nothing beside it: a single thread will do.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&ctl::Error::Failed(format!("cannot start: {error}"))),
    };
    match runtime.block_on(ctl::run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &ctl::Error) -> ExitCode {
    for line in error.to_string().lines() {
        ctl::remark(line);
    }
    ExitCode::from(error.exit_code())
}
