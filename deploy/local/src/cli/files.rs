//! The folder `.local`, where a background stack can be found.
//!
//! | file        | holds                                                   | written by | while   |
//! |-------------|---------------------------------------------------------|------------|---------|
//! | `lock`      | the daemon's pid; locked for as long as the daemon lives | daemon     | always  |
//! | `state.json`| the processes, for `status`                             | daemon     | it is up|
//! | `stack.env` | the addresses, for a shell                              | daemon     | it is up|
//! | `stack.log` | what the daemon has to say                              | daemon     | always  |
//!
//! Only the lock says whether a stack is up: the kernel releases it however the daemon ends, and the other files may be left
//! over. So a pid is used only while its owner is known to hold the lock.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use local::Process;
use serde::{Deserialize, Serialize};

pub(crate) const ENV: &str = "stack.env";
const STATE: &str = "state.json";

/// The folder, in the current directory.
pub(crate) struct Files(PathBuf);

/// What `status` needs to know.
#[derive(Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) processes: Vec<Process>,
    /// To ask PostgreSQL whether it is ready.
    pub(crate) database_url: String,
}

impl Files {
    pub(crate) fn open() -> Result<Files> {
        let folder = std::env::current_dir()?.join(".local");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).context("cannot make the folder .local")?;
        Ok(Files(folder))
    }

    /// Takes the lock, which is released when the file is closed; `None` where another has it.
    pub(crate) fn lock(&self) -> Result<Option<File>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(self.0.join("lock"))?;
        match file.try_lock() {
            Ok(()) => {
                // A stale pid must be gone before the next daemon has the lock; `up` always comes by here first.
                file.set_len(0)?;
                Ok(Some(file))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).context("cannot lock .local/lock"),
        }
    }

    /// Makes a fresh start, as the holder of the lock.
    pub(crate) fn claim(&self, lock: &mut File) -> Result<()> {
        self.clear()?;
        self.log()?.set_len(0)?;
        Ok(write!(lock, "{}", std::process::id())?)
    }

    /// The pid of the daemon that holds the lock; `None` where none does, or it has only just started.
    pub(crate) fn daemon(&self) -> Result<Option<i32>> {
        if self.lock()?.is_some() {
            return Ok(None);
        }
        let mut pid = String::new();
        File::open(self.0.join("lock"))?.read_to_string(&mut pid)?;
        Ok(pid.parse().ok())
    }

    /// The log, to append to.
    pub(crate) fn log(&self) -> Result<File> {
        Ok(OpenOptions::new().create(true).append(true).mode(0o600).open(self.log_path())?)
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.0.join("stack.log")
    }

    pub(crate) fn write_state(&self, state: &State) -> Result<()> {
        self.write(STATE, &serde_json::to_string(state)?)
    }

    /// `None` while a stack is starting or stopping.
    pub(crate) fn state(&self) -> Result<Option<State>> {
        match fs::read_to_string(self.0.join(STATE)) {
            Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn write_env(&self, variables: &[(&str, String)]) -> Result<()> {
        let lines: Vec<_> = variables.iter().map(|(name, value)| format!("{name}={}\n", quoted(value))).collect();
        self.write(ENV, &lines.concat())
    }

    /// Removes what would make a stack seem to be up. Only for the holder of the lock.
    pub(crate) fn clear(&self) -> Result<()> {
        for name in [ENV, STATE] {
            match fs::remove_file(self.0.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// All at once, so that nobody reads a half of it, and for nobody else's eyes: there are passwords in it.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let new = self.0.join(format!("{name}.new"));
        write_private(&new, text)
            .and_then(|()| fs::rename(&new, self.0.join(name)))
            .with_context(|| format!("cannot write .local/{name}"))
    }
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

/// As one word of a POSIX shell, whatever is in it.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_quoted_value_as_it_was() {
        let value = "it's \"$HOME\" `id` \\ 100%\n&";
        let output = std::process::Command::new("sh").args(["-c", &format!("printf %s {}", quoted(value))]).output();
        assert_eq!(output.expect("sh runs").stdout, value.as_bytes());
    }
}
