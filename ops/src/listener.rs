//! The operators' listener: `/healthz`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

/// What a process knows of itself.
pub trait Health: Send + Sync + 'static {
    /// What it cannot work without and does not have, a line each; empty when it is ready.
    fn missing(&self) -> Vec<String>;

    /// What is wrong without making it unready, a line each.
    fn degraded(&self) -> Vec<String> {
        Vec::new()
    }

    /// Called before each scrape, to set gauges.
    fn refresh(&self) {}
}

/// Serves until dropped.
pub async fn serve(listener: TcpListener, registry: Registry, health: Arc<impl Health>) {
    let registry = Arc::new(registry);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (registry, health) = (Arc::clone(&registry), Arc::clone(&health));
        let service = service_fn(move |request: Request<Incoming>| {
            std::future::ready(Ok::<_, Infallible>(answer(request.uri().path(), &registry, &*health)))
        });
        tokio::spawn(http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service));
    }
}

fn answer(path: &str, registry: &Registry, health: &impl Health) -> Response<Full<Bytes>> {
    match path {
        "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => ready(health),
        "/metrics" => {
            health.refresh();
            metrics(registry)
        }
        _ => text(StatusCode::NOT_FOUND, "here are /healthz, /readyz and /metrics\n".to_owned()),
    }
}

fn ready(health: &impl Health) -> Response<Full<Bytes>> {
    let missing = health.missing();
    let (status, first) =
        if missing.is_empty() { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
    let degraded = health.degraded().into_iter().map(|line| format!("degraded: {line}"));
    let lines = std::iter::once(first.to_owned()).chain(missing).chain(degraded);
    text(status, lines.map(|line| line + "\n").collect())
}

fn metrics(registry: &Registry) -> Response<Full<Bytes>> {
    let mut metrics = String::new();
    if prometheus_client::encoding::text::encode(&mut metrics, registry).is_err() {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be encoded\n".to_owned());
    }
    let mut response = text(StatusCode::OK, metrics);
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}
