//! What the processes have written.

use std::fs;

use crate::Stack;

/// Lines of a log that an error shows.
const SHOWN: usize = 20;

impl Stack {
    /// All that a process ever wrote, over all its starts; nothing where it has not written.
    pub fn log(&self, name: &str) -> String {
        let bytes = fs::read(self.log_path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The end of a log, to be appended to an error.
    pub(crate) fn tail(&self, name: &str) -> String {
        let log = self.log(name);
        let lines: Vec<_> = log.lines().collect();
        if lines.is_empty() {
            return "; it has written nothing to its log".to_owned();
        }
        let last = &lines[lines.len().saturating_sub(SHOWN)..];
        format!("; the end of its log:\n  {}", last.join("\n  "))
    }

    /// For a test that fails: the logs are about to go, and they say more than the assertion.
    pub(crate) fn show_logs(&self) {
        for process in self.processes().iter().filter(|process| process.ops_port.is_some()) {
            eprintln!("{}{}", process.name, self.tail(&process.name));
        }
    }
}
