//! Check 8: the idempotency key.

use http::HeaderMap;
use proto::IdempotencyKey;

use super::{Header, header};
use crate::refusal::Refusal;

/// Reads `X-Idempotency-Key`.
pub fn read(headers: &HeaderMap) -> Result<IdempotencyKey, Refusal> {
    match header(headers, "x-idempotency-key") {
        Header::Missing => Err(Refusal::MissingIdempotencyKey),
        Header::Repeated => Err(Refusal::InvalidIdempotencyKey),
        Header::Once(value) => IdempotencyKey::from_bytes(value).map_err(|_| Refusal::InvalidIdempotencyKey),
    }
}
