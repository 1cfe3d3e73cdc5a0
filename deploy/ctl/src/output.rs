//! stdout is for what the command was run for, stderr for remarks about it.

use std::io::Write;

use crate::Error;

/// Writes a line to stdout.
pub(crate) fn say(line: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(|error| Error::Failed(format!("cannot write to stdout: {error}")))
}

/// Writes a line to stderr, marked as ours.
pub fn remark(line: &str) {
    // Where even stderr is gone there is nobody left to tell; the exit code still speaks.
    _ = writeln!(std::io::stderr(), "runlatch: {line}");
}
