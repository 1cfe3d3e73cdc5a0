//! The launcher, with real servers: side by side, dying and coming back, and gone without a trace.

mod background;
mod foreground;
mod leaves_nothing;
mod product;
mod restart;
mod side_by_side;
mod traces;
mod usage;
mod wire;

use local::{Builder, Stack};

/// The three servers and nothing else, without the wait for the disk.
fn servers() -> Builder {
    Stack::builder().gateways(0).workers(0).migrate(false).durable(false)
}

/// Waits until `found` finds something; fails after ten seconds, saying what was waited for.
fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "{what} has not come about in ten seconds");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
