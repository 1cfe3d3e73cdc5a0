//! Runlatch's own programs, as the stack finds them.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// The path of one of this workspace's programs: in `RUNLATCH_BIN_DIR` where that is set, else where the running
/// program is (`target/<profile>`) or one up from there (a test is in `target/<profile>/deps`).
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    if let Some(folder) = env::var_os("RUNLATCH_BIN_DIR") {
        let path = Path::new(&folder).join(name);
        if !path.is_file() {
            bail!("there is no {name} in RUNLATCH_BIN_DIR ({})", Path::new(&folder).display());
        }
        return Ok(path);
    }
    let own = env::current_exe().context("cannot tell where this program is")?;
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| {
        let release = if own.components().any(|part| part.as_os_str() == "release") { " --release" } else { "" };
        format!("{name} has not been built. Type: cargo build --workspace --bins{release}")
    })
}
