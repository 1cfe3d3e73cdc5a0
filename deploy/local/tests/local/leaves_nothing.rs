//! However a stack ends, no process, no directory and no shared memory is left.
//!
//! Each test starts a *holder* (`examples/holder.rs`), which starts a stack in a temporary directory of its own and then
//! ends as it is told.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{
    servers,
    traces::{processes, send, shared_memory, wait_until_clean},
};

/// A holder that will end so, with its files in `temp`.
fn holder(how: &str, temp: &TempDir) -> Result<Command> {
    // This test lies in target/<profile>/deps, the examples beside that.
    let profile = std::env::current_exe()?.ancestors().nth(2).context("a profile's directory")?.to_owned();
    let mut command = Command::new(profile.join("examples/holder"));
    command.arg(how).env("TMPDIR", temp.path()).stdout(Stdio::null());
    Ok(command)
}

/// Starts a holder, and returns once it holds a stack.
fn hold(how: &str) -> Result<(Child, TempDir)> {
    let temp = tempfile::tempdir()?;
    // The user that PostgreSQL runs as must get through.
    fs::set_permissions(temp.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let mut holder = holder(how, &temp)?.stderr(Stdio::piped()).spawn()?;
    let mut output = BufReader::new(holder.stderr.take().context("it is piped")?).lines();
    output.find(|line| line.as_ref().map_or(true, |line| line == "holding")).context("the holder has failed")??;
    // Read on, or a holder that has something to say ends by SIGPIPE.
    std::thread::spawn(move || output.count());
    Ok((holder, temp))
}

#[test]
fn a_stack_in_use_can_be_seen() -> Result<()> {
    // What the tests below look for is there to be found, or they would prove nothing.
    let (mut holder, temp) = hold("signal")?;
    assert!(processes(temp.path()).len() > 8, "three servers, PostgreSQL's own children, the reaper");
    assert_eq!(fs::read_dir(temp.path())?.count(), 1);
    holder.kill()?;
    holder.wait()?;
    wait_until_clean(temp.path());
    Ok(())
}

#[test]
fn ended_by_its_owner() -> Result<()> {
    for how in ["drop", "shutdown", "panic"] {
        let (mut holder, temp) = hold(how)?;
        let status = holder.wait()?;
        assert_eq!(status.success(), how != "panic", "{how}: {status}");
        // Not a moment later: the owner waits for it.
        assert_eq!(processes(temp.path()), Vec::<i32>::new(), "{how}");
        assert_eq!(fs::read_dir(temp.path())?.count(), 0, "{how}");
    }
    Ok(())
}

#[test]
fn its_owner_ends_without_a_word() -> Result<()> {
    for how in ["exit", "abort"] {
        let (mut holder, temp) = hold(how)?;
        holder.wait()?;
        wait_until_clean(temp.path());
    }
    Ok(())
}

#[test]
fn its_owner_is_ended_by_a_signal() -> Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let (mut holder, temp) = hold("signal")?;
        send(holder.id(), signal);
        holder.wait()?;
        wait_until_clean(temp.path());
    }
    Ok(())
}

#[test]
fn its_owner_is_killed_while_it_starts() -> Result<()> {
    // At many moments, initdb among them; whatever was being started then must go too.
    for millis in (5..400).step_by(25) {
        let temp = tempfile::tempdir()?;
        fs::set_permissions(temp.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let mut holder = holder("signal", &temp)?.stderr(Stdio::null()).spawn()?;
        std::thread::sleep(Duration::from_millis(millis));
        holder.kill()?;
        holder.wait()?;
        wait_until_clean(temp.path());
    }
    Ok(())
}

#[tokio::test]
async fn shared_memory_goes_even_where_postgres_was_killed() -> Result<()> {
    for killed in [false, true] {
        let stack = servers().start().await?;
        let file = fs::read_to_string(stack.directory().join("postgres/data/postmaster.pid"))?;
        let id = file.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)).context("its line 7")?.to_owned();
        assert!(shared_memory(&id));
        if killed {
            stack.halt("postgres").await?;
        }
        drop(stack);
        assert!(!shared_memory(&id), "killed: {killed}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stack_whose_reaper_was_killed_is_cleared_even_so() -> Result<()> {
    let stack = servers().start().await?;
    let directory = stack.directory().to_owned();
    let reaper = processes(&directory).into_iter().find(|pid| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains("runlatch-reaper"))
    });
    send(reaper.context("a reaper")? as u32, Signal::SIGKILL);
    drop(stack);
    assert_eq!(processes(&directory), Vec::<i32>::new());
    assert!(!directory.exists());
    Ok(())
}

#[tokio::test]
async fn a_frozen_stack_is_cleared_as_fast() -> Result<()> {
    let stack = servers().start().await?;
    for process in stack.processes() {
        stack.freeze(&process.name).await?;
    }
    let directory = stack.directory().to_owned();
    let dropped = Instant::now();
    drop(stack);
    assert!(dropped.elapsed() < Duration::from_secs(5), "it took {:?}", dropped.elapsed());
    assert_eq!(processes(&directory), Vec::<i32>::new());
    assert!(!directory.exists());
    Ok(())
}

#[tokio::test]
async fn a_stack_whose_directory_was_removed_ends_even_so() -> Result<()> {
    let stack = servers().start().await?;
    let directory = stack.directory().to_owned();
    let servers: Vec<_> = stack.processes().iter().filter_map(|process| process.pid).collect();
    // As one that tidies up /tmp does, and with it the records of what runs.
    fs::remove_dir_all(directory.join("pids"))?;
    drop(stack);
    for pid in servers {
        assert!(!fs::exists(format!("/proc/{pid}"))?);
    }
    assert!(!directory.exists());
    Ok(())
}
