//! What browsers ask before a page may send here, and are told with each answer ([Fetch, CORS protocol](https://fetch.spec.whatwg.org/#http-cors-protocol)).
//! Off unless origins are named: a secret has no business in a page, but for an operator's own.

use std::str::FromStr;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::request::route::Route;
use crate::respond::Response;

/// What a page may send.
const HEADERS: HeaderValue = HeaderValue::from_static(
    "content-encoding, content-type, prefer, traceparent, x-idempotency-key, x-request-id, x-webhook-secret",
);
/// What a page may read of an answer.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "accept, accept-encoding, idempotency-check, idempotent-replay, location, preference-applied, retry-after, x-request-id",
);
/// Seconds that a browser may remember it.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// An origin whose pages may send here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin(HeaderValue);

/// The text is no origin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "an origin is a scheme, a host and perhaps a port, such as https://console.example.com, and nothing behind them"
)]
pub struct InvalidOrigin;

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        // No `*`: a page of anybody's would do.
        let uri: http::Uri = text.parse().map_err(|_| InvalidOrigin)?;
        let whole = matches!(uri.scheme_str(), Some("http" | "https")) && uri.path() == "/" && uri.query().is_none();
        if !whole || text.ends_with('/') || text.contains('@') || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(InvalidOrigin);
        }
        text.parse().map(Self).map_err(|_| InvalidOrigin)
    }
}

/// The origin that a request comes from, where it is one of these.
fn allowed<'a>(origins: &'a [Origin], headers: &HeaderMap) -> Option<&'a HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    origins.iter().map(|Origin(allowed)| allowed).find(|allowed| *allowed == origin)
}

/// The answer to a browser that asks whether it may send, where it may.
pub(crate) fn preflight(origins: &[Origin], head: &Parts) -> Option<Response> {
    if origins.is_empty() || head.method != Method::OPTIONS {
        return None;
    }
    let method: Method = head.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?.to_str().ok()?.parse().ok()?;
    allowed(origins, &head.headers)?;
    Route::read(&method, head.uri.path()).ok()?;
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_str(method.as_str()).ok()?);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    Some(response)
}

/// Lets the page that asked read the answer.
pub(crate) fn open(origins: &[Origin], asked: &HeaderMap, response: &mut Response) {
    if origins.is_empty() {
        return;
    }
    let headers = response.headers_mut();
    // Caches are to know that another origin is answered otherwise.
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed(origins, asked) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for origin in ["https://console.example.com", "http://127.0.0.1:8080", "https://[::1]"] {
            assert!(origin.parse::<Origin>().is_ok(), "{origin}");
        }
        for other in [
            "*",
            "null",
            "",
            "console.example.com",
            "https://a/",
            "https://a/b",
            "https://a?b",
            "ftp://a",
            "https://u@a",
            "https://A",
        ] {
            assert!(other.parse::<Origin>().is_err(), "{other}");
        }
    }
}
