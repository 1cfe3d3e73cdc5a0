//! `status`: one line for each process of the background stack.

use std::process::ExitCode;

use anyhow::Result;
use futures_util::future::join_all;
use local::{Process, State};

use super::{files::Files, print::line};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn status() -> Result<ExitCode> {
    let files = Files::open()?;
    if files.lock()?.is_some() {
        line("nothing is up");
        return Ok(ExitCode::from(3));
    }
    let Some(state) = files.state()? else {
        line("a stack is starting or stopping");
        return Ok(ExitCode::FAILURE);
    };
    let checks = join_all(state.processes.iter().map(|process| process.check(&state.database_url))).await;
    let mut all_ready = true;
    for (process, check) in state.processes.iter().zip(checks) {
        all_ready &= process.state == State::Running && check.is_ok();
        line(&shown(process, check));
    }
    Ok(if all_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Name, pid, port and state, and then what else is worth to be known.
fn shown(process: &Process, check: Result<(), String>) -> String {
    let or_none = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
    let pid = or_none(process.pid.map(|pid| pid.to_string()));
    let port = or_none(process.port.or(process.ops_port).map(|port| port.to_string()));
    let (state, reason) = match (process.state, check) {
        (State::Running, Ok(())) => ("ready", String::new()),
        (State::Running, Err(reason)) => ("unready", reason.replace('\n', "; ")),
        (State::Restarting, _) => ("restarting", String::new()),
        (State::Stopped, _) => ("stopped", String::new()),
    };
    let restarts = match process.restarts {
        0 => String::new(),
        1 => "restarted once".to_owned(),
        times => format!("restarted {times} times"),
    };
    let more = [reason, restarts].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
    format!("{:10} {pid:>8} {port:>6}  {state:10} {more}", process.name).trim_end().to_owned()
}
