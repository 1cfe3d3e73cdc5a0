//! Answers. The only place that writes one.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use http_body_util::Full;
use hyper::body::Body;
use proto::{RunId, Timestamp};
use serde::Serialize;
use uuid::fmt::Hyphenated;

use crate::admission::Place;
use crate::batch;
use crate::claims::Verdict;
use crate::openapi;
use crate::publish::Published;
use crate::refusal::Refusal;
use crate::request::id::{REQUEST_ID, RequestId};
use crate::status;

/// Seconds over which retries are spread.
const SPREAD: u32 = 3;

/// A complete answer.
pub type Response = http::Response<Full<Bytes>>;

/// A delivery that was accepted, now or before.
#[derive(Clone)]
pub struct Accepted {
    run: RunId,
    at: Timestamp,
    status: Status,
    /// True if nobody could check the key (I5).
    deferred: bool,
    /// True if it is known that its row is committed.
    committed: bool,
    /// Seconds that its caller preferred to wait, where it was done.
    waited: Option<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Created,
    Replayed,
}

impl Accepted {
    /// A retry of a delivery that was published before.
    pub fn replayed(run: RunId, at: Timestamp) -> Self {
        Self { run, at, status: Status::Replayed, deferred: false, committed: false, waited: None }
    }

    /// A delivery that was published just now, which is known by the proof of it.
    pub fn published(_proof: Published, verdict: Verdict, run: RunId, at: Timestamp) -> Self {
        let known = matches!(verdict, Verdict::Help(_) | Verdict::Replay(_));
        let status = if known { Status::Replayed } else { Status::Created };
        Self { run, at, status, deferred: matches!(verdict, Verdict::Deferred(_)), committed: false, waited: None }
    }

    /// Its run was accepted then: by another delivery, unless that is when this one was.
    pub(crate) fn since(self, at: Timestamp) -> Self {
        let status = if at == self.at { self.status } else { Status::Replayed };
        Self { at, status, ..self }
    }

    /// Its caller has waited, and its row is committed; whatever could not be checked before is decided by that.
    pub(crate) fn committed(self, seconds: u8) -> Self {
        Self { committed: true, deferred: false, waited: Some(seconds), ..self }
    }

    /// Its caller has waited in vain.
    pub(crate) fn waited(self, seconds: u8) -> Self {
        Self { waited: Some(seconds), ..self }
    }
}

/// A success's body, in the pieces that are the same in all of them.
const RUN_ID: &[u8] = br#""runId":""#;
const QUEUED: &[u8] =
    br#"","status":"created","message":"The delivery is queued and its run is certain.","timestamp":""#;
const CREATED: &[u8] = br#"","status":"created","message":"The run is created.","timestamp":""#;
const REPLAYED: &[u8] =
    br#"","status":"replayed","message":"This delivery was received before; nothing new was started.","timestamp":""#;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'a> {
    /// In a batch, where a line has no status of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    error: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    issues: Option<Vec<Issue<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<RunId>,
    /// In a batch, where a line has no header of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
}

#[derive(Serialize)]
struct Issue<'a> {
    /// JSON Pointer (RFC 6901) to what is wrong; empty for the whole body.
    path: &'a str,
    message: Cow<'a, str>,
}

impl Accepted {
    /// Its run.
    pub(crate) fn run(&self) -> RunId {
        self.run
    }
}

/// The metric label of a result.
pub fn outcome(result: &Result<Accepted, Refusal>) -> &'static str {
    match result {
        Ok(Accepted { status: Status::Created, .. }) => "created",
        Ok(Accepted { status: Status::Replayed, .. }) => "replayed",
        Err(refusal) => refusal.told().code,
    }
}

/// 202 for what is new, 201 where its row is known to be committed; 200 for what was known.
fn success(accepted: &Accepted) -> (StatusCode, &'static [u8]) {
    match (accepted.status, accepted.committed) {
        (Status::Created, false) => (StatusCode::ACCEPTED, QUEUED),
        (Status::Created, true) => (StatusCode::CREATED, CREATED),
        (Status::Replayed, _) => (StatusCode::OK, REPLAYED),
    }
}

/// The answer to a delivery that was accepted.
pub fn accepted(path: &str, accepted: &Accepted) -> Response {
    let (code, rest) = success(accepted);
    let mut buffer = [0; Hyphenated::LENGTH];
    let run = accepted.run.0.hyphenated().encode_lower(&mut buffer).as_bytes();
    let body = [b"{", RUN_ID, run, rest, &accepted.at.text(), b"\"}"].concat();
    let mut response = json(code, body);
    let headers = response.headers_mut();
    // The caller's own spelling of the path, which is known to be that of a playbook.
    let location = Bytes::from([path.as_bytes(), b"/runs/", run].concat());
    if let Ok(location) = HeaderValue::from_maybe_shared(location) {
        headers.insert(header::LOCATION, location);
    }
    if accepted.status == Status::Replayed {
        headers.insert("idempotent-replay", HeaderValue::from_static("true"));
    }
    if let Some(seconds) = accepted.waited {
        applied(headers, seconds);
    }
    if accepted.deferred {
        headers.insert("idempotency-check", HeaderValue::from_static("deferred"));
    }
    response
}

/// The preference of RFC 7240 that was granted.
fn applied(headers: &mut HeaderMap, seconds: u8) {
    let wait = HeaderValue::from_maybe_shared(Bytes::from(format!("wait={seconds}")));
    headers.extend(wait.ok().map(|wait| (HeaderName::from_static("preference-applied"), wait)));
}

/// The contract's error body, in answer to `request`. `drained` is false where the rest of the body is still on its
/// way, so that an HTTP/1 connection cannot carry another request.
pub fn refused(refusal: &Refusal, request: &Parts, drained: bool) -> Response {
    if let Refusal::Waited(refusal, seconds) = refusal {
        let mut response = refused(refusal, request, drained);
        applied(response.headers_mut(), *seconds);
        return response;
    }
    let told = refusal.told();
    let body = serde_json::to_vec(&failure(refusal)).expect("structs of strings always serialize");
    let mut response = json(told.status, body);
    let headers = response.headers_mut();
    if let Some(seconds) = told.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(spread(seconds)));
    }
    if let Refusal::MethodNotAllowed(allowed) = refusal {
        headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
    }
    // What would have been understood: RFC 9110, sections 12.5.3 and 15.5.16.
    match refusal {
        Refusal::UnsupportedEncoding => _ = headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
        Refusal::UnsupportedMediaType => {
            headers.insert(header::ACCEPT, HeaderValue::from_static(batch::MEDIA_TYPE));
        }
        _ => {}
    }
    if !drained && request.version != Version::HTTP_2 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    to(request, response)
}

/// The error body's members.
fn failure(refusal: &Refusal) -> Failure<'_> {
    let whole = |message: String| vec![Issue { path: "", message: message.into() }];
    let issues = match refusal {
        Refusal::InvalidBody(error) => Some(whole(error.to_string())),
        Refusal::InvalidLine(_) | Refusal::InvalidGzip | Refusal::BrokenBody => Some(whole(refusal.to_string())),
        Refusal::OffSchema(issues) => {
            let issues = issues.iter().map(|issue| Issue { path: &issue.path, message: issue.message.as_str().into() });
            Some(issues.collect())
        }
        _ => None,
    };
    let run_id = if let Refusal::Conflict(run) = refusal { Some(*run) } else { None };
    Failure { code: None, error: refusal.told().code, issues, run_id, retry_after: None }
}

/// Or all that an outage has refused would come back in the same second.
fn spread(seconds: u32) -> u32 {
    seconds + fastrand::u32(..SPREAD)
}

/// Bytes of a batch's answers up to which each says where its line is wrong.
const EXPLAINED: usize = 1 << 20;
const UNEXPLAINED: &str = "too many lines of this batch are wrong to tell where; send it alone to be told";

/// The answer to a line of a batch: its status code, and what the answer to a delivery alone has.
pub(crate) fn line(result: &Result<Accepted, Refusal>, out: &mut BytesMut) {
    match result {
        Ok(accepted) => {
            let (code, rest) = success(accepted);
            let mut buffer = [0; Hyphenated::LENGTH];
            let run = accepted.run.0.hyphenated().encode_lower(&mut buffer).as_bytes();
            let deferred: &[u8] = if accepted.deferred { br#"","idempotencyCheck":"deferred"}"# } else { b"\"}" };
            for piece in
                [b"{\"code\":", code.as_str().as_bytes(), b",", RUN_ID, run, rest, &accepted.at.text(), deferred]
            {
                out.put_slice(piece);
            }
        }
        Err(refusal) => {
            let told = refusal.told();
            let (code, retry_after) = (Some(told.status.as_u16()), told.retry_after.map(spread));
            let mut failure = Failure { code, retry_after, ..failure(refusal) };
            if out.len() > EXPLAINED {
                failure.issues = failure.issues.map(|_| vec![Issue { path: "", message: UNEXPLAINED.into() }]);
            }
            serde_json::to_writer(out.writer(), &failure).expect("structs of strings always serialize");
        }
    }
    out.put_u8(b'\n');
}

/// Answers that hold their batch's place until their peer has taken them.
struct Held {
    lines: BytesMut,
    _place: Place,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.lines
    }
}

/// The answer to a batch.
pub(crate) fn batch(answers: batch::Answers, request: &Parts) -> Response {
    let batch::Answers { lines, whole, place } = answers;
    let mut response = Response::new(Full::from(Bytes::from_owner(Held { lines, _place: place })));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(batch::MEDIA_TYPE));
    if !whole && request.version != Version::HTTP_2 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// An answer that can be found in the logs.
pub(crate) fn named(id: RequestId, mut response: Response) -> Response {
    response.headers_mut().insert(REQUEST_ID, id.into_header());
    response
}

/// The contract, for machines.
pub(crate) fn openapi(request: &Parts) -> Response {
    let mut response = Response::new(Full::from(openapi::DOCUMENT));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    to(request, response)
}

/// Where a run has got.
pub(crate) fn run_status(status: &status::Status, request: &Parts) -> Response {
    let body = serde_json::to_vec(status).expect("structs of strings always serialize");
    let mut response = json(StatusCode::OK, body);
    // It changes; and a cache between could not know that the secret is part of the question.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    to(request, response)
}

/// What a `HEAD` is answered of it.
fn to(request: &Parts, mut response: Response) -> Response {
    if request.method == Method::HEAD {
        // hyper leaves the body out over HTTP/1 only. The length stays that of the answer to a GET (RFC 9110, 9.3.2).
        let length = response.body().size_hint().lower();
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        *response.body_mut() = Full::default();
    }
    response
}

/// As hyper answers it over HTTP/1.
pub fn too_many_headers() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    response
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
