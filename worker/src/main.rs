//! `runlatch-worker`: wires settings, logs, signals and the listener, and runs [`worker::run`].

use std::process::ExitCode;

use tokio::net::TcpListener;
use worker::config::{Config, Invalid};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config = match ops::read::<Config>() {
        Ok(config) => config,
        Err(code) => return code,
    };
    let runtime = match config.threads.runtime() {
        Ok(runtime) => runtime,
        Err(error) => return ops::refuse("runlatch-worker", &format!("--threads: {error}")),
    };
    match runtime.block_on(start(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ops::refuse("runlatch-worker", &error.to_string()),
    }
}

async fn start(config: Config) -> Result<(), Invalid> {
    ops::log(&config.log).map_err(|reason| Invalid { setting: "--log", reason })?;
    let invalid = |reason: std::io::Error| Invalid { setting: "--ops-listen", reason: reason.to_string() };
    let listener = TcpListener::bind(config.ops_listen).await.map_err(invalid)?;
    let shutdown = ops::told_to_stop().map_err(invalid)?;
    worker::run(listener, config, shutdown).await
}
