//! Puts the parts together and takes them apart again.

use std::{future::Future, sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    compact::keep_compact,
    config::{Config, Invalid},
    database::Database,
    health::Health,
    metrics::Metrics,
    nats,
    process::Lane,
    pull::Puller,
    queue::Queue,
};

/// What is kept of the shutdown deadline for putting back what could not be committed.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Runs a worker until `shutdown` is ready and what was in hand then is settled, or put back at the deadline. Servers
/// that are away are waited for.
///
/// # Errors
/// Only for settings that cannot be used.
pub async fn run(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Invalid> {
    let mut registry = Registry::default();
    let metrics = Arc::new(Metrics::new(&mut registry));
    let database = Arc::new(Database::new(config.postgres()?, config.lanes.into(), config.max_hold));
    let changed = Arc::new(Notify::new());
    let client = nats::connect(config.nats()?, Arc::clone(&changed))
        .await
        .map_err(|error| Invalid { setting: "--nats-url", reason: error.kind().to_string() })?;
    let queue = Arc::new(Queue::new(client.clone(), config.clone(), Arc::clone(&database), Arc::clone(&metrics)));
    let stop = CancellationToken::new();

    let health = Arc::new(Health { queue: queue.clone(), database: database.clone(), stop: stop.clone() });
    let background = async {
        tokio::join!(
            ops::listener::serve(listener, registry, health),
            database.probe(),
            keep_compact(&database, config.compact_interval),
            queue.keep_attached(),
            queue.listen_for_recreation(),
            async {
                loop {
                    changed.notified().await;
                    queue.doubt();
                }
            },
        );
    };
    let work = async {
        let mut lanes = Lanes {
            queue: &queue,
            database: &database,
            metrics: &metrics,
            config: &config,
            stop: &stop,
            turn: Arc::new(Semaphore::new(1)),
        };
        let mut running = JoinSet::new();
        (0..config.lanes).for_each(|_| lanes.start(&mut running));
        tokio::select! {
            () = shutdown => {}
            () = lanes.keep(&mut running) => {}
        }
        tracing::info!("stopping");
        stop.cancel();
        if timeout(config.shutdown_deadline.saturating_sub(LAST_WORDS), finish(&mut running)).await.is_err() {
            tracing::warn!("the deadline is near; putting back what is in hand");
            database.give_up.cancel();
            _ = timeout(LAST_WORDS, finish(&mut running)).await;
        }
        // Acks are in the client's buffer until now.
        _ = timeout(LAST_WORDS, client.flush()).await;
    };
    tokio::select! {
        () = background => {}
        () = work => {}
    }
    tracing::info!("stopped");
    Ok(())
}

async fn finish(running: &mut JoinSet<()>) {
    while running.join_next().await.is_some() {}
}

/// What each lane is made of.
struct Lanes<'a> {
    queue: &'a Arc<Queue>,
    database: &'a Arc<Database>,
    metrics: &'a Arc<Metrics>,
    config: &'a Config,
    turn: Arc<Semaphore>,
    stop: &'a CancellationToken,
}

impl Lanes<'_> {
    fn start(&mut self, running: &mut JoinSet<()>) {
        let (queue, database, metrics) = (self.queue.clone(), self.database.clone(), self.metrics.clone());
        let (messages, bytes) = (usize::from(self.config.batch_messages), self.config.batch_bytes as usize);
        let (turn, stop) = (Arc::clone(&self.turn), self.stop.clone());
        running.spawn(async move {
            match Puller::new(queue.clone(), messages, bytes).await {
                Ok(puller) => Lane { queue, database, metrics, puller, turn, stop }.run().await,
                Err(error) => tracing::error!(%error, "no inbox"),
            }
        });
    }

    /// A lane that panicked loses what it had in hand to redelivery, and is followed by another. Never ends.
    async fn keep(&mut self, running: &mut JoinSet<()>) {
        loop {
            running.join_next().await;
            tracing::error!("a lane ended before its time; starting another");
            sleep(Duration::from_secs(1)).await;
            self.start(running);
        }
    }
}
