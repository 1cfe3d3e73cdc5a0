//! Starts what `run` and `up` both start, and waits for the signal to stop it.

use anyhow::{Context, Result};
use local::{Extra, Stack};
use tokio::signal::unix::{SignalKind, signal};

use super::{args::Size, demo::Demo};

/// A stack, with the demo's catalog in force on every gateway.
pub(crate) async fn start(size: Size) -> Result<(Stack, Demo)> {
    let stack = Stack::builder()
        .gateways(size.gateways.into())
        .workers(size.workers.into())
        .gateway(settings())
        .worker(settings())
        .start()
        .await?;
    let demo = Demo::prepare(&stack).await.context("cannot prepare the demo")?;
    Ok((stack, demo))
}

/// The settings of gateways and workers that were in the environment of `run` or `up`, but for those that are the stack's own.
fn settings() -> Extra {
    const OWN: [&str; 4] = ["RUNLATCH_LISTEN", "RUNLATCH_OPS_LISTEN", "RUNLATCH_PEPPER", "RUNLATCH_PEPPER_FILE"];
    std::env::vars()
        .filter(|(name, _)| name.starts_with("RUNLATCH_"))
        .filter(|(name, _)| !OWN.contains(&name.as_str()))
        .fold(Extra::new(), |extra, (name, value)| extra.env(name, value))
}

/// Returns a function that waits for the next signal to stop: Ctrl-C, SIGTERM, or the terminal's going away. From the call
/// on, none of them ends this process by itself.
pub(crate) fn signals() -> Result<impl AsyncFnMut()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
