//! What a request is called in logs, here and at its sender's: `X-Request-Id`.

use http::{HeaderName, HeaderValue};
use proto::envelope::is_request_id;

use super::headers::Header;

/// The header in every answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The caller's, where it is fit to be repeated; else one made here.
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Takes or makes one. Nobody is refused for it.
    pub fn of(header: Header<'_>) -> Self {
        match header {
            // A clone shares the bytes.
            Header::Once(value) if is_request_id(value.as_bytes()) => Self(value.clone()),
            Header::Once(_) | Header::Missing | Header::Repeated => Self::made(),
        }
    }

    /// Sixteen hex digits, by which a request is told from millions of others, and nothing is secured.
    fn made() -> Self {
        let mut digits = [0; 16];
        hex::encode_to_slice(fastrand::u64(..).to_be_bytes(), &mut digits).expect("twice eight bytes");
        Self(HeaderValue::from_bytes(&digits).expect("hex digits"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::headers::Headers;

    #[test]
    fn taken_or_made() {
        let of = |values: &[&[u8]]| {
            let headers = values.iter().map(|value| (REQUEST_ID, HeaderValue::from_bytes(value).expect("a value")));
            RequestId::of(Headers::read(&headers.collect()).request_id).as_str().to_owned()
        };
        let longest = [b'r'; 128];
        for taken in [&b"r"[..], b"3f1f7b7e-2c9a-4b53-8e0e-6a1d2f4c5b02", b"Root=1-67891233;Self=1/x", &longest] {
            assert_eq!(of(&[taken]).as_bytes(), taken);
        }
        for unfit in [&[][..], &[&b""[..]], &[b"a b"], &[b"a\"b"], &["é".as_bytes()], &[&[b'r'; 129]], &[b"a", b"a"]] {
            let made = of(unfit);
            assert!(made.len() == 16 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{unfit:?}: {made}");
            assert_ne!(made, of(unfit));
        }
    }
}
