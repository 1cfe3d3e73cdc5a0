//! `runlatch-worker`: wires settings, logs, signals and the listener, and runs [`worker::run`].

use std::process::ExitCode;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use worker::config::{Config, Invalid};

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
        Err(error) => return usage(&one_line(&error.to_string())),
    };
    match start(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => usage(&error.to_string()),
    }
}

fn usage(reason: &str) -> ExitCode {
    eprintln!("runlatch-worker: {reason}");
    ExitCode::from(EX_USAGE)
}

/// clap's text up to its advice: which setting, and why.
fn one_line(text: &str) -> String {
    let reason = text.split("\n\n").next().unwrap_or_default();
    reason.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn start(config: Config) -> Result<(), Invalid> {
    log(&config)?;
    quiet_panics();
    let invalid = |reason: std::io::Error| Invalid { setting: "--ops-listen", reason: reason.to_string() };
    let listener = TcpListener::bind(config.ops_listen).await.map_err(invalid)?;
    let shutdown = async {
        // Without handlers the default action ends the process; redelivery makes up for that.
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
        let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return std::future::pending().await };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    worker::run(listener, config, shutdown).await
}

fn log(config: &Config) -> Result<(), Invalid> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|_| Invalid { setting: "--log", reason: "not a log filter".to_owned() })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    if config.log_format == "json" {
        lines.json().init()
    } else {
        lines.init()
    }
    Ok(())
}

/// A panic's message can quote what it stumbled over, and that may be a payload (I7): the place is enough.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}
