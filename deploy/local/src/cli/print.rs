//! What a person at a terminal sees.

use std::io::{IsTerminal, Write, stdout};

/// One line on standard output. Who reads it may have gone away, which is no reason to fail.
pub(crate) fn line(text: &str) {
    let _ = writeln!(stdout(), "{text}");
}

/// Says that something is being done that may take a while.
pub(crate) fn step(text: &str) {
    line(&format!("{} {text} …", dim("·")));
}

pub(crate) fn bold(text: &str) -> String {
    styled("1", text)
}

pub(crate) fn dim(text: &str) -> String {
    styled("2", text)
}

/// Colours say nothing here that the words do not, so they can go wherever nobody sees them.
fn styled(style: &str, text: &str) -> String {
    if stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{style}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
