//! What one would write without a queue: authenticate, insert, answer.

use anyhow::Result;
use bytes::Bytes;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::value::RawValue;
use tokio_postgres::NoTls;
use tokio_postgres::types::{Json, ToSql};

/// As little as will do: no fingerprint, no target, no record of what was settled.
pub(crate) const TABLE: &str = "
    CREATE TABLE webhook_runs (
        playbook text NOT NULL,
        key text NOT NULL,
        payload json NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (playbook, key)
    )";

const INSERT: &str = "INSERT INTO webhook_runs (playbook, key, payload) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";

pub(super) async fn serve(database: &str, connections: usize) -> Result<()> {
    let manager =
        Manager::from_config(database.parse()?, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    let pool = Pool::builder(manager).max_size(connections).build()?;
    super::serve(move |request| answer(pool.clone(), request)).await
}

async fn answer(pool: Pool, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(_secret), Some(key)) = (header("x-webhook-secret"), header("x-idempotency-key")) else {
        return reply(StatusCode::BAD_REQUEST, "{}".to_owned());
    };
    let payload: &RawValue = serde_json::from_slice(&body)?;
    let connection = pool.get().await?;
    let statement = connection.prepare_cached(INSERT).await?;
    let parameters: [&(dyn ToSql + Sync); 3] = [&head.uri.path(), &key, &Json(payload)];
    let (status, word) = match connection.execute(&statement, &parameters).await? {
        1 => (StatusCode::ACCEPTED, "created"),
        _ => (StatusCode::OK, "replayed"),
    };
    reply(status, format!(r#"{{"status":"{word}"}}"#))
}

fn reply(status: StatusCode, body: String) -> Result<Response<Full<Bytes>>> {
    Ok(Response::builder().status(status).header(header::CONTENT_TYPE, "application/json").body(Full::from(body))?)
}
