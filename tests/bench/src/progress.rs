//! Tells whoever waits what is going on.

use std::io::{IsTerminal, Write, stdout};
use std::time::Instant;

/// On a terminal one line that is written over, elsewhere a line for each part only.
pub(crate) struct Progress {
    terminal: bool,
    began: Instant,
    part: String,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { terminal: stdout().is_terminal(), began: Instant::now(), part: String::new() }
    }

    /// A part begins, of several measurements or steps.
    pub(crate) fn part(&mut self, part: &str) {
        part.clone_into(&mut self.part);
        if !self.terminal {
            self.write(&format!("{} · {part}\n", self.clock()));
        }
    }

    /// A measurement or step of it begins.
    pub(crate) fn step(&self, step: &str) {
        if self.terminal {
            self.write(&format!("\r\x1b[2K{} · {} · {step}", self.clock(), self.part));
        }
    }

    /// What follows is not progress.
    pub(crate) fn end(&self) {
        if self.terminal {
            self.write("\r\x1b[2K");
        }
    }

    fn clock(&self) -> String {
        let seconds = self.began.elapsed().as_secs();
        format!("{:2}:{:02}", seconds / 60, seconds % 60)
    }

    fn write(&self, text: &str) {
        // Whoever has closed our output does not want to be told.
        let mut out = stdout().lock();
        _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
