//! The caller's idempotency key.

use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text;

/// 1 to 255 characters of visible ASCII (0x21 to 0x7E): what survives every HTTP library, log and shell unchanged. Cheap to
/// clone.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct IdempotencyKey(Arc<str>);

/// The text is no idempotency key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an idempotency key is 1 to {} characters of 0x21 to 0x7E", IdempotencyKey::MAX_LEN)]
pub struct InvalidKey;

impl IdempotencyKey {
    /// Longest key, in characters (each is one byte).
    pub const MAX_LEN: usize = 255;

    /// Checks a header's raw bytes.
    ///
    /// # Errors
    /// [`InvalidKey`] for anything else than 1 to 255 characters of visible ASCII.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidKey> {
        std::str::from_utf8(bytes).map_err(|_| InvalidKey)?.parse()
    }

    /// The key as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let fits = (1..=Self::MAX_LEN).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(Self(text.into())) } else { Err(InvalidKey) }
    }
}

impl Serialize for IdempotencyKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for IdempotencyKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}
