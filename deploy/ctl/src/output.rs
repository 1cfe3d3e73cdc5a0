//! stdout is for what the command was run for, stderr for remarks about it.

use std::io::Write;

use serde::Serialize;

use crate::Error;

/// Writes a line to stdout.
pub(crate) fn say(line: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(|error| Error::Failed(format!("cannot write to stdout: {error}")))
}

/// Writes a JSON object to stdout, as one line.
pub(crate) fn json_line(object: &impl Serialize) -> Result<(), Error> {
    let line =
        serde_json::to_string(object).map_err(|error| Error::Failed(format!("cannot be shown as JSON: {error}")))?;
    say(&line)
}

/// Writes a line to stderr, marked as ours.
pub fn remark(line: &str) {
    // Where even stderr is gone there is nobody left to tell; the exit code still speaks.
    _ = writeln!(std::io::stderr(), "runlatch: {line}");
}
