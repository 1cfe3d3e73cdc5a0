//! The connection to the broker.

use std::{sync::Arc, time::Duration};

use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use tokio::sync::Notify;

/// Connects, in the background and for as long as it takes; `changed` is notified of every connection made or lost.
///
/// # Errors
/// Only where the options contradict each other; a server that is away is no error.
pub(crate) async fn connect(
    servers: Vec<ServerAddr>,
    changed: Arc<Notify>,
) -> Result<Client, async_nats::ConnectError> {
    let failure = ops::News::default();
    ConnectOptions::new()
        .name("runlatch-worker")
        .retry_on_initial_connect()
        .max_reconnects(None)
        .connection_timeout(Duration::from_secs(5))
        .request_timeout(Some(Duration::from_secs(5)))
        // A dead connection is noticed after three of these.
        .ping_interval(Duration::from_secs(3))
        .reconnect_delay_callback(|attempts| {
            let longest = Duration::from_millis(100).saturating_mul(u32::try_from(attempts).unwrap_or(u32::MAX));
            longest.min(Duration::from_secs(2)).mul_f64(0.5 + 0.5 * fastrand::f64())
        })
        .event_callback(move |event| {
            match &event {
                Event::Connected => {
                    failure.over();
                    tracing::info!("connected to nats");
                }
                // A server's text names subjects and limits, never messages.
                event if failure.is_new(event) => tracing::warn!(%event, "nats"),
                _ => {}
            }
            if matches!(event, Event::Connected | Event::Disconnected) {
                changed.notify_one();
            }
            std::future::ready(())
        })
        .connect(servers)
        .await
}
