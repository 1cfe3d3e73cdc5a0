//! `run`, as a newcomer meets it.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{Child, Stdio},
};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::{
    traces::{processes, send},
    usage::command,
};

/// Whatever becomes of the test, it does not stay.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

#[test]
fn a_newcomer_sees_a_delivery_become_a_run_and_ctrl_c_leaves_nothing() -> Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let temp = tempfile::tempdir()?;
        // The user that PostgreSQL runs as must get through.
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755))?;
        let run = command(&["run"], temp.path()).env("TMPDIR", temp.path()).stdout(Stdio::piped()).spawn()?;
        let mut run = Ends(run);
        let mut lines = BufReader::new(run.0.stdout.take().context("it is piped")?).lines();
        let mut said = String::new();
        while !said.contains("Ctrl-C") {
            let Some(line) = lines.next() else { panic!("`run` has ended ({}) after:\n{said}", run.0.wait()?) };
            said += &(line? + "\n");
        }
        for expected in [
            "a delivery: 202",
            "\"status\":\"created\"",
            "its retry: 200",
            "\"status\":\"replayed\"",
            "its key, with another payload: 409",
            "\"idempotency_conflict\"",
            "in the table `runs`: 1 row",
            "curl -i http://127.0.0.1:",
            "X-Webhook-Secret: rlsk_",
        ] {
            assert!(said.contains(expected), "{expected} is not in:\n{said}");
        }
        send(run.0.id(), signal);
        let rest = lines.count();
        assert!(run.0.wait()?.success());
        assert!(rest <= 2, "a word of farewell, no more");
        assert_eq!(processes(temp.path()), Vec::<i32>::new());
        assert_eq!(fs::read_dir(temp.path())?.count(), 0);
    }
    Ok(())
}
