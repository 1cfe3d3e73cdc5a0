//! Settings: each a flag and a variable, and wrong ones refused with one line.

use std::process::ExitCode;

use clap::{Args, Parser};

/// Bad usage or configuration, as in BSD's sysexits.h.
const EX_USAGE: u8 = 64;

/// How to log.
#[derive(Args, Clone)]
pub struct Log {
    /// Which log lines to write: a level, or `target=level` pairs. Libraries' lines below `info` are never written.
    #[arg(long = "log", env = "RUNLATCH_LOG", default_value = "info,async_nats=warn")]
    pub(crate) filter: String,
    /// Form of log lines, on standard error.
    #[arg(long = "log-format", env = "RUNLATCH_LOG_FORMAT", default_value = "text", value_parser = ["text", "json"])]
    pub(crate) format: String,
}

/// Reads the settings. What cannot be used ends the process with 64 and one line that says which setting and why.
///
/// # Errors
/// The exit code, everything having been said.
pub fn read<S: Parser>() -> Result<S, ExitCode> {
    #[cfg(feature = "kill-points")]
    {
        let command = S::command();
        crate::kill::arm(command.get_name()).map_err(|reason| refuse(command.get_name(), &reason))?;
    }
    S::try_parse().map_err(|error| {
        if error.use_stderr() {
            return refuse(S::command().get_name(), &one_line(&error.to_string()));
        }
        // Help, or the version.
        _ = error.print();
        ExitCode::SUCCESS
    })
}

/// Says why the settings cannot be used.
pub fn refuse(program: &str, reason: &str) -> ExitCode {
    eprintln!("{program}: {reason}");
    ExitCode::from(EX_USAGE)
}

/// clap's text up to its advice: which setting, and why.
fn one_line(text: &str) -> String {
    let reason = text.split("\n\n").next().unwrap_or_default();
    reason.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ")
}
