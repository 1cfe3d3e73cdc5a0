//! What a stack leaves in the system while it lives, and must not leave when it is gone.

use std::{fs, path::Path};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::wait_for;

/// Every live process that works in this directory or was told of it. Linux only.
pub(crate) fn processes(directory: &Path) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let works = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(directory));
        let told = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        works || String::from_utf8_lossy(&told).contains(&*directory.to_string_lossy())
    })
    .collect()
}

/// Waits until no process of this directory is alive and nothing is in it (it is somebody's temporary directory).
pub(crate) fn wait_until_clean(directory: &Path) {
    wait_for("an end of all processes", || processes(directory).is_empty().then_some(()));
    wait_for("an empty directory", || fs::read_dir(directory).ok()?.next().is_none().then_some(()));
}

/// Whether this segment of System V shared memory exists.
pub(crate) fn shared_memory(id: &str) -> bool {
    let table = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    table.lines().any(|line| line.split_whitespace().nth(1) == Some(id))
}

pub(crate) fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid as i32), signal).expect("the process is there");
}

/// A person's view: some lines of `status` or of a log.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
