//! How a body is packed: as it is, or by gzip ([RFC 9110, section 8.4](https://www.rfc-editor.org/rfc/rfc9110#section-8.4)).

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::{bufread::MultiGzDecoder, write};
use http::HeaderValue;

use super::headers::Header;
use crate::aside::Aside;
use crate::refusal::Refusal;

/// What is to be done with a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// Nothing.
    Identity,
    /// To unpack it.
    Gzip,
}

impl Encoding {
    /// Reads `Content-Encoding`.
    ///
    /// # Errors
    /// [`Refusal::UnsupportedEncoding`] for any other, and for several.
    pub fn read(header: Header<'_>) -> Result<Self, Refusal> {
        let is = |value: &HeaderValue, name: &str| value.as_bytes().trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        match header {
            Header::Missing => Ok(Self::Identity),
            Header::Once(value) if is(value, "identity") || is(value, "") => Ok(Self::Identity),
            Header::Once(value) if is(value, "gzip") || is(value, "x-gzip") => Ok(Self::Gzip),
            Header::Once(_) | Header::Repeated => Err(Refusal::UnsupportedEncoding),
        }
    }

    /// The body as it was before it was packed.
    ///
    /// # Errors
    /// [`Refusal::PayloadTooLarge`] where that is longer than `limit`, and [`Refusal::InvalidGzip`].
    pub async fn unpack(self, aside: &Aside, body: Bytes, limit: usize) -> Result<Bytes, Refusal> {
        match self {
            Self::Identity => Ok(body),
            // A few bytes may be unpacked to as many as a body may have, and others' deliveries wait for this thread.
            Self::Gzip => aside.run(move || gunzip(&body, limit)).await?,
        }
    }
}

impl Encoding {
    /// For a body that is unpacked as it comes; none where there is nothing to unpack.
    pub(crate) fn unpacker(self) -> Option<Unpacker> {
        (self == Self::Gzip).then(|| Unpacker(write::MultiGzDecoder::new(Vec::new())))
    }
}

/// Unpacks piece by piece.
pub(crate) struct Unpacker(write::MultiGzDecoder<Vec<u8>>);

impl Unpacker {
    /// What comes of this piece.
    pub(crate) fn unpack(&mut self, piece: &[u8]) -> Result<Vec<u8>, Refusal> {
        self.0.write_all(piece).map_err(|_| Refusal::InvalidGzip)?;
        Ok(std::mem::take(self.0.get_mut()))
    }

    /// What is left, where the body ends as it should.
    pub(crate) fn end(mut self) -> Result<Vec<u8>, Refusal> {
        self.0.try_finish().map_err(|_| Refusal::InvalidGzip)?;
        Ok(std::mem::take(self.0.get_mut()))
    }
}

/// All members: RFC 1952 lets a file have several.
fn gunzip(packed: &[u8], limit: usize) -> Result<Bytes, Refusal> {
    let mut body = Vec::with_capacity(packed.len().saturating_mul(4).min(limit));
    let read = MultiGzDecoder::new(packed).take(limit as u64 + 1).read_to_end(&mut body);
    match read {
        Ok(length) if length > limit => Err(Refusal::PayloadTooLarge),
        Ok(_) => Ok(body.into()),
        Err(_) => Err(Refusal::InvalidGzip),
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use http::{HeaderMap, header};

    use super::*;
    use crate::request::headers::Headers;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("into memory");
        encoder.finish().expect("into memory")
    }

    #[test]
    fn encodings() {
        let of = |values: &[&str]| {
            let headers: HeaderMap =
                values.iter().map(|value| (header::CONTENT_ENCODING, value.parse().expect("a value"))).collect();
            Encoding::read(Headers::read(&headers).content_encoding).map_err(|refusal| refusal.told().status.as_u16())
        };
        for identity in [&[][..], &["identity"], &[""]] {
            assert_eq!(of(identity), Ok(Encoding::Identity));
        }
        for gzip in ["gzip", "GZip", " gzip ", "x-gzip"] {
            assert_eq!(of(&[gzip]), Ok(Encoding::Gzip), "{gzip}");
        }
        for other in [&["br"][..], &["deflate"], &["gzip, gzip"], &["gzip", "gzip"], &["identity, gzip"], &["zstd"]] {
            assert_eq!(of(other), Err(415), "{other:?}");
        }
    }

    #[test]
    fn bodies() {
        let of = |packed: &[u8]| gunzip(packed, 100).map_err(|refusal| refusal.told().status.as_u16());
        assert_eq!(of(&packed(b"{}")), Ok(Bytes::from_static(b"{}")));
        assert_eq!(of(&packed(b"")), Ok(Bytes::new()));
        assert_eq!(of(&[packed(b"{"), packed(b"}")].concat()), Ok(Bytes::from_static(b"{}")));
        assert_eq!(of(&packed(&[b' '; 100])).map(|body| body.len()), Ok(100));
        assert_eq!(of(&packed(&[b' '; 101])), Err(413));
        assert_eq!(of(&packed(&vec![b' '; 100 << 20])), Err(413), "a bomb");
        let whole = packed(b"{\"a\":1}");
        for end in 0..whole.len() {
            assert_eq!(of(&whole[..end]), Err(400), "cut at {end}");
        }
        let mut wrong = whole.clone();
        wrong[whole.len() - 5] ^= 1;
        assert_eq!(of(&wrong), Err(400), "its sum is wrong");
        assert_eq!(of(b"{}"), Err(400));
        assert_eq!(of(&[&whole[..], b"rest"].concat()), Err(400));
    }

    #[test]
    fn bodies_that_come_in_pieces() {
        let of = |packed: &[u8]| {
            let mut unpacker = Encoding::Gzip.unpacker().expect("there is something to unpack");
            let mut body = Vec::new();
            for piece in packed.chunks(3) {
                body.extend(unpacker.unpack(piece)?);
            }
            body.extend(unpacker.end()?);
            Ok::<_, Refusal>(body)
        };
        let text: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(of(&packed(&text)).expect("unpacked"), text);
        assert_eq!(of(&[packed(b"{"), packed(b"}")].concat()).expect("unpacked"), b"{}");
        let whole = packed(b"{\"a\":1}");
        for end in 1..whole.len() {
            assert!(of(&whole[..end]).is_err(), "cut at {end}");
        }
        assert!(of(b"{}{}{}{}{}{}{}").is_err());
        assert!(Encoding::Identity.unpacker().is_none());
    }
}
