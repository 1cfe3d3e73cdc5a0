//! The body of a delivery.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Deepest nesting of arrays and objects, the outermost object included. Postgres' parser recurses; this keeps it,
/// and every consumer's, far from the end of its stack.
pub const MAX_NESTING: usize = 128;

/// One JSON object ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259)) without the whitespace around it, otherwise
/// byte for byte as it was sent. That is what is hashed, queued and stored. Whatever is a `Payload`, a Postgres
/// `json` column can hold.
///
/// Its `Debug`, and so a delivery's, shows the length alone (I7).
#[derive(Clone, Copy, Serialize)]
#[serde(transparent)]
pub struct Payload<'a>(&'a RawValue);

/// Why a body is no payload. The text never quotes the body (I7).
#[derive(Debug, thiserror::Error)]
pub enum InvalidPayload {
    /// Nothing, or nothing but whitespace.
    #[error("the body is empty; expected a JSON object")]
    Empty,
    /// Not UTF-8; the offset is that of the first bad byte.
    #[error("the body is not UTF-8 (byte {0})")]
    NotUtf8(usize),
    /// Starts with a byte order mark, which RFC 8259, section 8.1, forbids to send.
    #[error("the body starts with a byte order mark; send plain UTF-8")]
    ByteOrderMark,
    /// JSON, perhaps, but not an object.
    #[error("expected a JSON object")]
    NotAnObject,
    /// Deeper than [`MAX_NESTING`].
    #[error("arrays and objects are nested deeper than {MAX_NESTING}")]
    TooDeep,
    /// Not JSON; serde_json names the place.
    #[error("not valid JSON: {0}")]
    Syntax(serde_json::Error),
}

impl<'a> Payload<'a> {
    /// Checks a request's body.
    pub fn parse(body: &'a [u8]) -> Result<Self, InvalidPayload> {
        let text = std::str::from_utf8(body).map_err(|error| InvalidPayload::NotUtf8(error.valid_up_to()))?;
        if text.starts_with('\u{feff}') {
            return Err(InvalidPayload::ByteOrderMark);
        }
        // JSON's own whitespace and no other: `str::trim` would also take U+00A0 and friends.
        let text = text.trim_matches([' ', '\t', '\n', '\r']);
        match text.as_bytes().first() {
            None => return Err(InvalidPayload::Empty),
            Some(b'{') => {}
            Some(_) => return Err(InvalidPayload::NotAnObject),
        }
        // serde_json skips over raw values with an explicit stack, so depth is ours to limit, not a danger here.
        let raw: &RawValue = serde_json::from_str(text).map_err(InvalidPayload::Syntax)?;
        if nesting(text) > MAX_NESTING {
            return Err(InvalidPayload::TooDeep);
        }
        Ok(Self(raw))
    }

    /// The payload's text.
    pub fn as_str(&self) -> &'a str {
        self.0.get()
    }

    /// The payload for serde's use, still unparsed.
    pub fn as_raw(&self) -> &'a RawValue {
        self.0
    }
}

impl std::fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} bytes)", self.as_str().len())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Payload<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'a RawValue>::deserialize(deserializer)?;
        if !raw.get().starts_with('{') {
            return Err(serde::de::Error::custom("the payload is not an object"));
        }
        Ok(Self(raw))
    }
}

/// Depth of JSON that is known to be well-formed; of one that cannot be too deep, at most that.
fn nesting(json: &str) -> usize {
    // Nothing is deeper than it has brackets, those in strings included, and they are counted much faster than followed.
    let brackets = json.bytes().map(|byte| usize::from(byte == b'{' || byte == b'[')).sum();
    if brackets <= MAX_NESTING {
        return brackets;
    }
    let (mut depth, mut deepest) = (0, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth -= 1,
            b'"' => {
                // To the closing quote; a backslash always has one more byte of the escape behind it.
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => _ = bytes.next(),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}
