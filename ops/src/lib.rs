//! What the gateway and the worker are to their operators, the same for both: how they are set, what they log, how
//! they are stopped, and what they say of their health.

#[cfg(feature = "kill-points")]
pub mod kill;
pub mod listener;
mod log;
mod news;
pub mod postgres;
mod settings;
mod threads;

pub use log::log;
pub use news::News;
pub use settings::{Log, read, refuse};
pub use threads::Threads;

use tokio::signal::unix::{SignalKind, signal};

/// A place where a test can have the process die (`kill`); nothing at all without the feature `kill-points`. To be used
/// in async code, by the name of a `kill::Point`. What follows is awaited before the death, and only then: what a client
/// has in its buffer has not left the process.
#[macro_export]
#[cfg(feature = "kill-points")]
macro_rules! kill_point {
    ($point:ident $(, $before:expr)?) => {
        if let Some(fate) = $crate::kill::reached($crate::kill::Point::$point) {
            $(_ = $before.await;)?
            fate.meet().await;
        }
    };
}

/// Nothing: this build has no kill points.
#[macro_export]
#[cfg(not(feature = "kill-points"))]
macro_rules! kill_point {
    ($($anything:tt)*) => {};
}

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
