//! `runlatch-gateway`: wires settings, logs, signals and listeners, and runs [`gateway::run`].

use std::process::ExitCode;

use clap::Parser;
use gateway::config::Config;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bad usage or configuration, as in BSD's sysexits.h.
const EX_USAGE: u8 = 64;

#[tokio::main]
async fn main() -> ExitCode {
    let config = match Config::try_parse() {
        Ok(config) => config,
        Err(error) if !error.use_stderr() => {
            _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            // The first line says which setting and why; the rest is clap's usage text.
            let text = error.render().to_string();
            eprintln!("runlatch-gateway: {}", text.lines().next().unwrap_or_default());
            return ExitCode::from(EX_USAGE);
        }
    };
    match start(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("runlatch-gateway: {error:#}");
            ExitCode::from(EX_USAGE)
        }
    }
}

async fn start(config: Config) -> anyhow::Result<()> {
    log(&config)?;
    // Each connection takes a descriptor; the usual soft limit of 1024 is below what is allowed here.
    _ = rlimit::increase_nofile_limit(config.max_connections as u64 + 256);
    // Bound now, so that an address in use is told at once; listening begins when deliveries can be answered.
    let socket = if config.listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(config.listen).map_err(|error| anyhow::anyhow!("--listen {}: {error}", config.listen))?;
    let ops = TcpListener::bind(config.ops_listen)
        .await
        .map_err(|error| anyhow::anyhow!("--ops-listen {}: {error}", config.ops_listen))?;

    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    gateway::run(config, socket, ops, async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await
}

fn log(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| anyhow::anyhow!("--log: {error}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    if config.log_format == "json" {
        lines.json().init()
    } else {
        lines.init()
    }
    Ok(())
}
