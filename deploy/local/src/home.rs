//! The private directory of a stack, and the reaper that outlives the stack to clear it away.

use std::{
    fs,
    io::Write,
    os::unix::{
        fs::{DirBuilderExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};
use nix::unistd::{Gid, Uid, User, geteuid};
use uuid::Uuid;

/// What [`Home::command`] runs; see there.
const LAUNCH: &str = include_str!("launch.sh");
const REAPER: &str = include_str!("reaper.sh");

/// The directory, with all that the stack's processes write, and the reaper.
///
/// Nothing in this process clears up: the reaper, a shell in a process group of its own, waits for its standard input to
/// close. That happens on [`Home::clear`], on a panic, and when this process is killed, alike.
pub(crate) struct Home {
    path: PathBuf,
    user: Option<(Uid, Gid)>,
    reaper: Mutex<Option<Child>>,
}

impl Home {
    pub(crate) fn create() -> Result<Home> {
        // PostgreSQL refuses to run as root; every distribution's package brings this user.
        let user = if geteuid().is_root() {
            let user = User::from_name("postgres")?;
            let user = user.context("running as root, and there is no user `postgres` to run PostgreSQL as")?;
            Some((user.uid, user.gid))
        } else {
            None
        };
        let path = std::path::absolute(std::env::temp_dir())?.join(format!("runlatch-{}", Uuid::new_v4().simple()));
        // The reaper first: were it the directory, dying between the two would leave that.
        let mut reaper = reaper(&path, Stdio::piped()).context("cannot start the reaper (/bin/sh)")?;
        // PostgreSQL's user passes through this directory into its own, and cannot list it.
        let mode = if user.is_some() { 0o711 } else { 0o700 };
        if let Err(error) = fs::DirBuilder::new().mode(mode).create(&path) {
            // Whatever there is by that name is not ours to be cleared.
            let _ = reaper.kill().and_then(|()| reaper.wait());
            return Err(error).with_context(|| format!("cannot make the directory {}", path.display()));
        }
        let home = Home { path, user, reaper: Mutex::new(Some(reaper)) };
        home.furnish()?;
        Ok(home)
    }

    fn furnish(&self) -> Result<()> {
        for folder in ["logs", "pids", "postgres", "nats"] {
            fs::DirBuilder::new().mode(0o700).create(self.path.join(folder))?;
        }
        self.give_to_postgres(&self.path.join("postgres"))?;
        if let Some((_, gid)) = self.user {
            // PostgreSQL records itself too. Nobody else may: the reaper kills what is recorded there.
            chown(self.path.join("pids"), None, Some(gid.as_raw()))?;
            fs::set_permissions(self.path.join("pids"), fs::Permissions::from_mode(0o770))?;
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.path.join("logs").join(format!("{name}.log"))
    }

    /// Gives a file or folder to the user that PostgreSQL runs as.
    pub(crate) fn give_to_postgres(&self, path: &Path) -> Result<()> {
        if let Some((uid, gid)) = self.user {
            chown(path, Some(uid.as_raw()), Some(gid.as_raw()))?;
        }
        Ok(())
    }

    /// A command that becomes `program` in a process group of its own, so that Ctrl-C does not reach it, and whose pid
    /// the reaper knows before it has run one instruction of `program`. Its environment holds next to nothing.
    pub(crate) fn command(&self, name: &str, program: &Path, as_postgres: bool) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", LAUNCH, "sh"]).arg(self.path.join("pids")).arg(name).arg(program);
        command.process_group(0).current_dir(&self.path).env_clear().stdin(Stdio::null());
        for kept in ["PATH", "HOME", "TMPDIR", "TZ", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"] {
            command.envs(std::env::var_os(kept).map(|value| (kept, value)));
        }
        if as_postgres {
            // Not the directory itself, which that user may not read.
            command.current_dir(self.path.join("postgres"));
            if let Some((uid, gid)) = self.user {
                command.uid(uid.as_raw()).gid(gid.as_raw());
            }
        }
        command
    }

    /// Runs a command made by [`Home::command`] to its end, which it must reach by itself. Blocks.
    pub(crate) fn output(&self, mut command: Command, stdin: &str) -> Result<Output> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot run /bin/sh")?;
        let pid = child.id();
        if let Some(mut pipe) = child.stdin.take() {
            // A command that does not read it to the end says by its status whether that was right.
            let _ = pipe.write_all(stdin.as_bytes());
        }
        let output = child.wait_with_output()?;
        self.forget(pid);
        Ok(output)
    }

    /// Takes back the record of a process that has ended and been waited for.
    pub(crate) fn forget(&self, pid: u32) {
        let prefix = format!("{pid}.");
        for record in fs::read_dir(self.path.join("pids")).into_iter().flatten().flatten() {
            if record.file_name().to_string_lossy().starts_with(&prefix) {
                // Only the reaper can have been faster.
                let _ = fs::remove_file(record.path());
            }
        }
    }

    /// Ends every process, removes the directory, and returns when both are done (some tens of milliseconds).
    /// No process can be started after this.
    pub(crate) fn clear(&self) {
        let Some(mut reaper) = self.reaper.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        drop(reaper.stdin.take());
        let _ = reaper.wait();
        if self.path.exists() {
            // Somebody had killed the reaper. Another one, whose input is closed from the start, does its work.
            let _ = self::reaper(&self.path, Stdio::null()).and_then(|mut reaper| reaper.wait());
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.clear();
    }
}

fn reaper(path: &Path, stdin: Stdio) -> std::io::Result<Child> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", REAPER, "runlatch-reaper"]).arg(path);
    command.process_group(0).current_dir("/").stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}
