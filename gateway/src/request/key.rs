//! Check 8: the idempotency key, of a delivery or of a question about one.

use proto::IdempotencyKey;

use super::headers::Header;
use crate::refusal::Refusal;

/// Reads `idempotencyKey` from the query.
pub fn query(query: Option<&str>) -> Result<IdempotencyKey, Refusal> {
    let mut keys = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter_map(|(name, key)| (name == "idempotencyKey").then_some(key));
    let key = keys.next().ok_or(Refusal::MissingIdempotencyKey)?;
    match (key.parse(), keys.next()) {
        (Ok(key), None) => Ok(key),
        _ => Err(Refusal::InvalidIdempotencyKey),
    }
}

/// Reads `X-Idempotency-Key`.
pub fn read(header: Header<'_>) -> Result<IdempotencyKey, Refusal> {
    match header {
        Header::Missing => Err(Refusal::MissingIdempotencyKey),
        Header::Repeated => Err(Refusal::InvalidIdempotencyKey),
        Header::Once(value) => IdempotencyKey::from_bytes(value.as_bytes()).map_err(|_| Refusal::InvalidIdempotencyKey),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_queries() {
        let key = |text| query(text).map(|key| key.as_str().to_owned()).map_err(|refusal| refusal.told().code);
        assert_eq!(key(Some("idempotencyKey=order%2F1%2B2&utm=1")), Ok("order/1+2".to_owned()));
        for query in [None, Some(""), Some("idempotencykey=a"), Some("key=a")] {
            assert_eq!(key(query), Err("missing_idempotency_key"), "{query:?}");
        }
        for query in
            ["idempotencyKey=", "idempotencyKey=a+b", "idempotencyKey=a&idempotencyKey=a", "idempotencyKey=%ff"]
        {
            assert_eq!(key(Some(query)), Err("invalid_idempotency_key"), "{query}");
        }
    }
}
