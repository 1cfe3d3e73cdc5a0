//! Starts the parts in order, and stops them in the opposite one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use prometheus_client::registry::Registry;
use proto::envelope;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{sleep, timeout};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::admission::Admission;
use crate::aside::Aside;
use crate::catalog::{self, Catalog};
use crate::claims::Claims;
use crate::config::Config;
use crate::handler::Gateway;
use crate::health::{Health, Parts, Phase};
use crate::input::Samples;
use crate::metrics::Metrics;
use crate::publish::Publisher;
use crate::queue::Queue;
use crate::server;
use crate::status::Runs;
use crate::wait::Waiters;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long a start waits for Redis.
const REDIS: Duration = Duration::from_secs(2);

/// What is kept of the shutdown deadline for marking what was published last.
pub(crate) const LAST_MARKS: Duration = Duration::from_secs(1);

/// Runs the gateway until `shutdown`. `socket` is bound; it begins to listen only when deliveries can be answered.
///
/// # Errors
/// Whatever makes a start pointless: settings that cannot work. A server that is away is waited for.
pub async fn run(
    config: Config,
    socket: TcpSocket,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    let mut registry = Registry::default();
    let metrics = Arc::new(Metrics::register(&mut registry));
    let catalog = Arc::new(Catalog::new(config.max_catalog_age));
    let claims = Claims::new(&config.redis_url, config.claim_window, config.redis_timeout, &metrics)
        .map_err(|_| anyhow::anyhow!("--redis-url or REDIS_URL: not a Redis URL"))?;
    let claims = Arc::new(claims);
    let queue = Queue::connect(config.nats()?, config.queue_bytes, config.publish_timeout)
        .await
        .map_err(|_| anyhow::anyhow!("--nats-url or NATS_URL: cannot be used"))?;
    let (database, listen_database, pepper) = (config.database()?, config.listen_database()?, config.pepper()?);

    let admission = Arc::new(Admission::new(config.max_in_flight as usize));
    let waiters = Arc::new(Waiters::new(queue.client(), config.max_waiting as usize));
    let health = Arc::new(Health::new(Parts {
        metrics: Arc::clone(&metrics),
        catalog: Arc::clone(&catalog),
        claims: Arc::clone(&claims),
        on_redis_outage: config.on_redis_outage,
        queue: queue.clone(),
        admission: Arc::clone(&admission),
        waiters: Arc::clone(&waiters),
    }));
    let _background = [
        background({
            let catalog = Arc::clone(&catalog);
            async move { catalog::follow(&catalog, &listen_database).await }
        }),
        background({
            let queue = queue.clone();
            async move { queue.watch().await }
        }),
        background({
            let (queue, waiters) = (queue.clone(), Arc::clone(&waiters));
            async move { waiters.listen(queue.client()).await }
        }),
        background({
            let claims = Arc::clone(&claims);
            async move { claims.watch().await }
        }),
        background(ops::listener::serve(listener, registry, Arc::clone(&health))),
    ];

    let mut shutdown = std::pin::pin!(shutdown);
    let max_payload = tokio::select! {
        max_payload = dependencies(&catalog, &queue, &claims) => max_payload,
        () = &mut shutdown => return Ok(()),
    };
    let needed = config.max_body_bytes as usize + envelope::MAX_OVERHEAD;
    ensure!(
        needed <= max_payload,
        "--max-body-bytes {} needs messages of {needed} bytes, but the NATS server's max_payload is {max_payload}: \
         lower the one or raise the other",
        config.max_body_bytes,
    );

    let tasks = TaskTracker::new();
    let publisher = Publisher::start(
        queue.clone(),
        Arc::clone(&claims),
        config.grouping(max_payload),
        Arc::clone(&metrics),
        &tasks,
    );
    tasks.close();
    let gateway = Arc::new(Gateway {
        admission,
        draining: Admission::new(config.max_in_flight as usize),
        catalog,
        pepper,
        limits: config.body(),
        claims,
        on_redis_outage: config.on_redis_outage,
        queue,
        publisher,
        runs: Runs::new(database, config.status_connections.into(), config.status_timeout),
        waiters: Arc::clone(&waiters),
        origins: config.cors_origins.clone(),
        openapi: config.openapi,
        batches: Admission::new(config.max_batches as usize),
        lines: Admission::new(config.max_in_flight as usize),
        unhelped: ops::News::default(),
        samples: Samples::default(),
        aside: Aside::default(),
        metrics,
    });
    let listener = socket.listen(BACKLOG).context("listening for callers")?;
    health.enter(Phase::Serving);
    tracing::info!(address = %config.listen, "accepting deliveries");
    server::serve(listener, gateway, config.server(), async {
        shutdown.await;
        health.enter(Phase::Stopping);
        waiters.close();
        tracing::info!("stopping: answering what is in flight");
    })
    .await;
    // The last connection took the publisher with it; what it had in hand still gets its marks.
    if timeout(LAST_MARKS, tasks.wait()).await.is_err() {
        tracing::warn!("stopped before the last deliveries were marked or acknowledged; their retries are helped");
    }
    Ok(())
}

fn background(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

/// Waits for the first snapshot and for the broker, for Redis a little, and returns the broker's largest message.
async fn dependencies(catalog: &Catalog, queue: &Queue, claims: &Claims) -> usize {
    let mut waited = Duration::ZERO;
    loop {
        if let (Some(_), Some(max_payload)) = (catalog.current(), queue.max_payload()) {
            match claims.trouble() {
                // Not insisted on, but without this pause the first deliveries would go unchecked for nothing.
                Some(_) if waited < REDIS => {}
                Some(trouble) => {
                    tracing::warn!(trouble, "starting without Redis");
                    return max_payload;
                }
                None => return max_payload,
            }
        }
        if waited == Duration::from_secs(3) {
            tracing::warn!("still waiting for Postgres or NATS; /readyz says which");
        }
        let pause = Duration::from_millis(20);
        sleep(pause).await;
        waited += pause;
    }
}
