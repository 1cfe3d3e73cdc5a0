//! What a delivery, a batch or a question says in its headers, found in one pass. A look-up hashes its name, and most of these are
//! in hardly any request.

use http::{HeaderMap, HeaderValue};

use super::prefer;

/// How often a header stands in a request. Two values are not "the first": a proxy in between may have seen the other.
#[derive(Clone, Copy, Default)]
pub enum Header<'a> {
    /// Not at all.
    #[default]
    Missing,
    /// Once, with this value.
    Once(&'a HeaderValue),
    /// More often.
    Repeated,
}

/// By name. Not to be printed: a secret is among them (I7).
#[derive(Default)]
pub struct Headers<'a> {
    /// `X-Webhook-Secret`.
    pub secret: Header<'a>,
    /// `X-Idempotency-Key`.
    pub idempotency_key: Header<'a>,
    /// `Content-Type`.
    pub content_type: Header<'a>,
    /// `Content-Encoding`.
    pub content_encoding: Header<'a>,
    /// `X-Request-Id`.
    pub request_id: Header<'a>,
    /// `traceparent`.
    pub traceparent: Header<'a>,
    /// `Prefer`: seconds to wait, 1 to 60; none where the first `wait` cannot be understood.
    pub wait: Option<u8>,
}

impl<'a> Headers<'a> {
    /// Reads all of them.
    pub fn read(all: &'a HeaderMap) -> Self {
        let (mut read, mut wait) = (Self::default(), None);
        for (name, value) in all {
            let header = match name.as_str() {
                "x-webhook-secret" => &mut read.secret,
                "x-idempotency-key" => &mut read.idempotency_key,
                "content-type" => &mut read.content_type,
                "content-encoding" => &mut read.content_encoding,
                "x-request-id" => &mut read.request_id,
                "traceparent" => &mut read.traceparent,
                "prefer" => {
                    wait = wait.or_else(|| prefer::wait(value));
                    continue;
                }
                _ => continue,
            };
            *header = if matches!(header, Header::Missing) { Header::Once(value) } else { Header::Repeated };
        }
        Self { wait: wait.flatten(), ..read }
    }
}
