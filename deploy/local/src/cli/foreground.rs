//! `run`: starts everything, shows what it does, and stays.

use std::process::ExitCode;

use anyhow::Result;
use local::{Role, Stack, install::install, servers::Server};

use super::{
    args::Size,
    demo::{Demo, rows},
    print::{bold, dim, line, step},
    start::{signals, start},
};

const KEY: &str = "order-1042";

#[tokio::main]
pub(crate) async fn run(size: Size) -> Result<ExitCode> {
    let mut stop = signals()?;
    tokio::task::block_in_place(|| install(&mut step))?;
    let servers = Server::ALL.iter().filter_map(|server| Some((server, server.find().ok()?.version)));
    let servers: Vec<_> = servers.map(|(server, (major, minor))| format!("{server} {major}.{minor}")).collect();
    step(&format!(
        "starting {}, {} and {}",
        servers.join(", "),
        count(size.gateways.into(), "gateway"),
        count(size.workers.into(), "worker")
    ));
    let (stack, demo) = tokio::select! {
        started = start(size) => started?,
        () = stop() => return Ok(ExitCode::SUCCESS),
    };
    tokio::select! {
        shown = show(&stack, &demo) => shown?,
        () = stop() => return Ok(ExitCode::SUCCESS),
    }
    let mut events = stack.events();
    loop {
        tokio::select! {
            event = events.recv() => if let Ok(event) = event { line(&format!("{} {event}", dim("·"))) },
            () = stop() => break,
        }
    }
    line("");
    step("stopping");
    tokio::select! {
        stopped = stack.shutdown() => stopped?,
        // Once more: at once, then.
        () = stop() => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(stack: &Stack, demo: &Demo) -> Result<()> {
    let url = stack.url();
    line("");
    line(&bold("One webhook delivery becomes one run"));
    let deliveries = [
        ("a delivery", r#"{"greeting": "hello"}"#),
        ("its retry", r#"{"greeting": "hello"}"#),
        ("its key, with another payload", r#"{"greeting": "goodbye"}"#),
    ];
    for (what, payload) in deliveries {
        let answer = demo.deliver(&url, Some(KEY), payload).await?;
        line(&format!("\n  {what}: {}\n  {}", bold(&answer.code.to_string()), dim(&answer.body)));
    }
    let rows = rows(stack, KEY).await?;
    line(&format!("\n  in the table `runs`: {}", bold(&count(rows.len(), "row"))));
    for (name, value) in rows.iter().flatten() {
        line(&format!("  {} {value}", dim(&format!("{name:16}"))));
    }
    line(&format!("\n{}\n", bold("Try it")));
    line(&format!("  {}", demo.curl(&url)));
    line("");
    line(&format!("  psql '{}' -c 'SELECT * FROM runs'", stack.database_url(Role::Operator)));
    line("");
    for process in stack.processes() {
        let serves =
            process.port.filter(|_| process.ops_port.is_some()).map(|port| format!("http://127.0.0.1:{port}  "));
        let ops = process.ops_port.map(|port| format!("metrics http://127.0.0.1:{port}/metrics"));
        let port = process.port.map(|port| format!("127.0.0.1:{port}"));
        let where_ = ops.map(|ops| serves.unwrap_or_default() + &ops).or(port).unwrap_or_default();
        line(&format!("  {} {where_}", dim(&format!("{:10}", process.name))));
    }
    line(&format!("  {} {}\n", dim(&format!("{:10}", "logs")), stack.directory().join("logs").display()));
    line("Ctrl-C stops it all and leaves nothing behind.");
    Ok(())
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
