//! The operators' listener: `/healthz`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

/// What the listener shows.
pub(crate) trait Status: Send + Sync + 'static {
    /// What is missing, a line each; empty when ready.
    fn missing(&self) -> Vec<String>;
    /// What is wrong without making it unready, a line each.
    fn degraded(&self) -> Vec<String>;
    /// Called before each scrape, to set gauges.
    fn refresh(&self);
}

/// Serves until dropped.
pub(crate) async fn serve(listener: TcpListener, registry: Registry, status: Arc<dyn Status>) {
    let registry = Arc::new(registry);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let (registry, status) = (Arc::clone(&registry), Arc::clone(&status));
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer(request.uri().path(), &registry, &*status);
            async { Ok::<_, Infallible>(answer) }
        });
        tokio::spawn(http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service));
    }
}

fn answer(path: &str, registry: &Registry, status: &dyn Status) -> Response<Full<Bytes>> {
    match path {
        "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => {
            let missing = status.missing();
            let (code, first) = if missing.is_empty() {
                (StatusCode::OK, "ready\n")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
            };
            let degraded = status.degraded().into_iter().map(|line| format!("degraded: {line}"));
            let lines: String = missing.into_iter().chain(degraded).map(|line| line + "\n").collect();
            text(code, first.to_owned() + &lines)
        }
        "/metrics" => {
            status.refresh();
            let mut metrics = String::new();
            match prometheus_client::encoding::text::encode(&mut metrics, registry) {
                Ok(()) => {
                    let mut response = text(StatusCode::OK, metrics);
                    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
                    response
                }
                Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be encoded\n".to_owned()),
            }
        }
        _ => text(StatusCode::NOT_FOUND, "here are /healthz, /readyz and /metrics\n".to_owned()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}
