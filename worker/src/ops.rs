//! The operators' listener: `/healthz`, `/readyz`, `/metrics`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{database::Database, queue::Queue};

/// What the listener tells about.
pub(crate) struct Ops {
    pub(crate) registry: Registry,
    pub(crate) queue: Arc<Queue>,
    pub(crate) database: Arc<Database>,
    pub(crate) stop: CancellationToken,
}

/// Serves until dropped.
pub(crate) async fn serve(listener: TcpListener, ops: Arc<Ops>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let ops = Arc::clone(&ops);
        let service = service_fn(move |request: Request<Incoming>| {
            std::future::ready(Ok::<_, Infallible>(ops.answer(request.uri().path())))
        });
        tokio::spawn(http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service));
    }
}

impl Ops {
    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        match path {
            "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => match self.missing() {
                missing if missing.is_empty() => text(StatusCode::OK, "ready\n".to_owned()),
                missing => text(StatusCode::SERVICE_UNAVAILABLE, missing),
            },
            "/metrics" => self.metrics(),
            _ => text(StatusCode::NOT_FOUND, "here are /healthz, /readyz and /metrics\n".to_owned()),
        }
    }

    /// A line for each thing without which no run is created.
    fn missing(&self) -> String {
        let stopping = self.stop.is_cancelled().then(|| "worker: stopping\n".to_owned());
        let nats = self.queue.trouble().map(|trouble| format!("nats: {trouble}\n"));
        let postgres = self.database.trouble().map(|trouble| format!("postgres: {trouble}\n"));
        [stopping, nats, postgres].into_iter().flatten().collect()
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut metrics = String::new();
        if prometheus_client::encoding::text::encode(&mut metrics, &self.registry).is_err() {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be encoded\n".to_owned());
        }
        let mut response = text(StatusCode::OK, metrics);
        let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}
