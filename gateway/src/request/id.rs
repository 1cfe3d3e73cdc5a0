//! What a request is called in logs, here and at its sender's: `X-Request-Id`.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Header, header};

/// The header, in a request and in every answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest that is taken from a caller, in bytes.
const MAX_LEN: usize = 128;

/// The caller's, where it is fit to be repeated; else one made here.
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Takes or makes one. Nobody is refused for it.
    pub fn of(headers: &HeaderMap) -> Self {
        match (header(headers, &REQUEST_ID), headers.get(REQUEST_ID)) {
            // A clone shares the bytes.
            (Header::Once(id), Some(value)) if is_fit(id) => Self(value.clone()),
            _ => Self::made(),
        }
    }

    /// Sixteen hex digits, by which a request is told from millions of others, and nothing is secured.
    fn made() -> Self {
        let id = format!("{:016x}", fastrand::u64(..));
        Self(HeaderValue::from_maybe_shared(bytes::Bytes::from(id)).expect("hex digits"))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("visible ASCII, as it was taken or made")
    }

    /// For an answer.
    pub fn into_header(self) -> HeaderValue {
        self.0
    }
}

/// Visible ASCII without what JSON escapes: it goes through logs and messages as it is.
fn is_fit(id: &[u8]) -> bool {
    (1..=MAX_LEN).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_or_made() {
        let of = |values: &[&[u8]]| {
            let headers = values.iter().map(|value| (REQUEST_ID, HeaderValue::from_bytes(value).expect("a value")));
            RequestId::of(&headers.collect()).as_str().to_owned()
        };
        let longest = [b'r'; MAX_LEN];
        for taken in [&b"r"[..], b"3f1f7b7e-2c9a-4b53-8e0e-6a1d2f4c5b02", b"Root=1-67891233;Self=1/x", &longest] {
            assert_eq!(of(&[taken]).as_bytes(), taken);
        }
        for unfit in
            [&[][..], &[&b""[..]], &[b"a b"], &[b"a\"b"], &["é".as_bytes()], &[&[b'r'; MAX_LEN + 1]], &[b"a", b"a"]]
        {
            let made = of(unfit);
            assert!(made.len() == 16 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{unfit:?}: {made}");
            assert_ne!(made, of(unfit));
        }
    }
}
