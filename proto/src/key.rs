//! The caller's idempotency key.

use serde::{Deserialize, Serialize};

/// 1 to 255 characters of visible ASCII (0x21 to 0x7E): what survives every HTTP library, log and shell unchanged.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdempotencyKey(String);

/// The text is no idempotency key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an idempotency key is 1 to {} characters of 0x21 to 0x7E", IdempotencyKey::MAX_LEN)]
pub struct InvalidKey;

impl IdempotencyKey {
    /// Longest key, in characters (each is one byte).
    pub const MAX_LEN: usize = 255;

    /// Checks a header's raw bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidKey> {
        std::str::from_utf8(bytes).map_err(|_| InvalidKey)?.to_owned().try_into()
    }

    /// The key as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        let fits = (1..=Self::MAX_LEN).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(Self(text)) } else { Err(InvalidKey) }
    }
}

impl From<IdempotencyKey> for String {
    fn from(key: IdempotencyKey) -> Self {
        key.0
    }
}
