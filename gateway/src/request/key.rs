//! Check 8: the idempotency key.

use http::{HeaderMap, HeaderName};
use proto::IdempotencyKey;

use super::{Header, header};
use crate::refusal::Refusal;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("x-idempotency-key");

/// Reads `X-Idempotency-Key`.
pub fn read(headers: &HeaderMap) -> Result<IdempotencyKey, Refusal> {
    match header(headers, &IDEMPOTENCY_KEY) {
        Header::Missing => Err(Refusal::MissingIdempotencyKey),
        Header::Repeated => Err(Refusal::InvalidIdempotencyKey),
        Header::Once(value) => IdempotencyKey::from_bytes(value).map_err(|_| Refusal::InvalidIdempotencyKey),
    }
}
