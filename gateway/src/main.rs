//! `runlatch-gateway`: wires settings, logs, signals and listeners, and runs [`gateway::run`].

use std::process::ExitCode;

use gateway::config::Config;
use tokio::net::{TcpListener, TcpSocket};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config = match ops::read::<Config>() {
        Ok(config) => config,
        Err(code) => return code,
    };
    let runtime = match config.threads.runtime() {
        Ok(runtime) => runtime,
        Err(error) => return ops::refuse("runlatch-gateway", &format!("--threads: {error}")),
    };
    match runtime.block_on(start(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ops::refuse("runlatch-gateway", &format!("{error:#}")),
    }
}

/// Descriptors for all but callers' connections: servers, operators, files.
const DESCRIPTORS: u32 = 256;

async fn start(mut config: Config) -> anyhow::Result<()> {
    ops::log(&config.log).map_err(anyhow::Error::msg)?;
    // Each connection takes a descriptor; the usual soft limit of 1024 is below what is allowed here. Where the hard
    // limit is too, callers must not take those that it needs to reach its servers.
    let descriptors = rlimit::increase_nofile_limit(u64::from(config.max_connections + DESCRIPTORS))?;
    let room = u32::try_from(descriptors).unwrap_or(u32::MAX).saturating_sub(DESCRIPTORS).max(1);
    let wanted = config.max_connections;
    config.max_connections = wanted.min(room);
    if config.max_connections < wanted {
        let connections = config.max_connections;
        tracing::warn!(descriptors, connections, "the limit of open files allows for fewer connections");
    }
    // Bound now, so that an address in use is told at once; listening begins when deliveries can be answered.
    let socket = if config.listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(config.listen).map_err(|error| anyhow::anyhow!("--listen {}: {error}", config.listen))?;
    let listener = TcpListener::bind(config.ops_listen)
        .await
        .map_err(|error| anyhow::anyhow!("--ops-listen {}: {error}", config.ops_listen))?;
    let shutdown = ops::told_to_stop()?;
    gateway::run(config, socket, listener, shutdown).await
}
