//! What is typed wrong is answered in one line.

use std::process::Command;

use anyhow::Result;

use crate::traces::text;

/// `runlatch-local`, in a directory of its own.
pub(crate) fn command(args: &[&str], directory: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runlatch-local"));
    command.args(args).current_dir(directory);
    command
}

#[test]
fn bad_usage_exits_64_with_one_line() -> Result<()> {
    let directory = tempfile::tempdir()?;
    for args in
        [&[][..], &["fly"], &["up", "--gateways", "many"], &["up", "--gateways", "0"], &["run", "--workers", "65"]]
    {
        let output = command(args, directory.path()).output()?;
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert_eq!(text(&output.stderr).lines().count(), 1, "{args:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    Ok(())
}

#[test]
fn where_nothing_is_up_that_is_said() -> Result<()> {
    let directory = tempfile::tempdir()?;
    for (command, code) in [("status", 3), ("down", 0)] {
        let output = self::command(&[command], directory.path()).output()?;
        assert_eq!((output.status.code(), &*text(&output.stdout)), (Some(code), "nothing is up\n"));
    }
    Ok(())
}
