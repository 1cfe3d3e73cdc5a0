//! What HTTP alone costs.

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

const ANSWER: &str = r#"{"status":"created"}"#;

pub(super) async fn serve() -> Result<()> {
    super::serve(answer).await
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    request.into_body().collect().await?;
    let answer = Response::builder().status(StatusCode::ACCEPTED).header(header::CONTENT_TYPE, "application/json");
    Ok(answer.body(Full::from(ANSWER))?)
}
