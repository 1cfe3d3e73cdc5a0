//! What the gateway and the worker are to their operators, the same for both: how they are set, what they log, how
//! they are stopped, and what they say of their health.

pub mod listener;
mod log;
mod settings;

pub use log::log;
pub use settings::{Log, read, refuse};

use tokio::signal::unix::{SignalKind, signal};

/// Resolves at SIGTERM or SIGINT. The handlers are in place when this returns.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn told_to_stop() -> std::io::Result<impl Future<Output = ()> + Send> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
