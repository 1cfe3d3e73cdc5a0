//! Whatever comes over a connection, HTTP/1 or HTTP/2, well-formed or not: hyper reads it by the gateway's own
//! settings, and every request that comes of it goes through the checks that need no server, in the handler's order.
//! Whatever it was, each is refused in time, and no refusal repeats a secret.

#![no_main]

use std::convert::Infallible;
use std::time::Duration;

use gateway::admission::Admission;
use gateway::auth::authenticate;
use gateway::catalog::Snapshot;
use gateway::refusal::Refusal;
use gateway::request::{body, headers::Headers, key, query, route::Route};
use gateway::{respond, server};
use http::request::Parts;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use libfuzzer_sys::fuzz_target;
use proto::{Fingerprint, Payload, PlaybookId, secret::Pepper};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

const LIMITS: server::Limits = server::Limits {
    connections: 1,
    strangers_streams: 1,
    header_bytes: 8192,
    headers: 64,
    header_time: Duration::from_secs(30),
    shutdown: Duration::from_secs(1),
};
const BODY: body::Limits = body::Limits { bytes: 4096, time: Duration::from_secs(10) };

fuzz_target!(|bytes: &[u8]| {
    // Its clock jumps to the next timer when nothing else is left to do: who waits for more waits for nothing here.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(connection(bytes));
});

async fn connection(bytes: &[u8]) {
    let (mut peer, ours) = duplex(1 << 20);
    peer.write_all(bytes).await.expect("room for all of it");
    // Whether the peer closes its side is drawn with the bytes. One that says nothing does: how long silence may last before
    // the protocol is known is not for hyper to say.
    if bytes.first().is_none_or(|byte| byte & 1 == 0) {
        peer.shutdown().await.expect("closes");
    }
    let service = service_fn(async |request| Ok::<_, Infallible>(answer(request).await));
    let protocol = gateway::server::protocol(LIMITS, TokioExecutor::new());
    let serving = protocol.serve_connection(TokioIo::new(ours), service);
    // Longer than all the times that a connection is given.
    let served = tokio::time::timeout(Duration::from_secs(100), serving).await;
    assert!(served.is_ok(), "a connection that does not end");
    let mut answers = Vec::new();
    _ = tokio::time::timeout(Duration::from_secs(1), peer.read_to_end(&mut answers)).await;
    assert!(answers.is_empty() || answers.len() >= 9, "neither a status line nor a frame: {answers:?}");
}

async fn answer(request: http::Request<Incoming>) -> respond::Response {
    let (head, mut incoming) = request.into_parts();
    let refusal = match check(&head, &mut incoming).await {
        Ok(()) => Refusal::ProjectNotFound,
        Err(refusal) => refusal,
    };
    let drained = body::drain(&Admission::new(1), &head.headers, &mut incoming).await;
    let answer = respond::refused(&refusal, &head, drained);
    assert!(answer.status().is_client_error() || answer.status().is_server_error());
    for secret in head.headers.get_all("x-webhook-secret").iter().filter_map(|secret| secret.to_str().ok()) {
        // Others may be words of ours.
        assert!(!secret.starts_with("rlsk_") || secret.len() < 16 || !format!("{answer:?}").contains(secret), "an answer repeats a secret");
    }
    answer
}

async fn check(head: &Parts, incoming: &mut Incoming) -> Result<(), Refusal> {
    let route = Route::read(&head.method, head.uri.path())?;
    let headers = Headers::read(&head.headers);
    let pepper = Pepper::new(&[7; 32]).expect("long enough");
    // Nobody is known here; the checks behind are made all the same.
    match authenticate(&Snapshot::default(), &pepper, &route, headers.secret) {
        Err(Refusal::NotFound | Refusal::InvalidSecret) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("nobody is known"),
    }
    let key = key::read(headers.idempotency_key)?;
    assert!((1..=255).contains(&key.as_str().len()));
    let selector = query::read(head.uri.query())?;
    let bytes = body::read(incoming, BODY).await?;
    assert!(bytes.len() <= BODY.bytes);
    let payload = Payload::parse(&bytes)?;
    assert!(payload.as_str().starts_with('{') && payload.as_str().ends_with('}'));
    _ = Fingerprint::compute(PlaybookId(uuid::Uuid::nil()), &selector, &payload);
    Ok(())
}
