//! What a delivery says, in 32 bytes.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::{Payload, PlaybookId, Selector, text};

/// BLAKE3 over version, playbook id, selector and payload. Two deliveries of one key are the same delivery exactly
/// if their fingerprints are equal; if not, the later one is a conflict (I4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(into = "String")]
pub struct Fingerprint(pub [u8; 32]);

/// Part of the hashed bytes: fingerprints of different versions never compare equal.
const VERSION: u8 = 1;

impl Fingerprint {
    /// Fingerprint of a delivery to `playbook`.
    pub fn compute(playbook: PlaybookId, selector: &Selector, payload: &Payload<'_>) -> Self {
        let mut hasher = blake3::Hasher::new();
        // Each part behind its length, or two different lists of parts could run together to the same bytes.
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        part(&[VERSION]);
        part(playbook.0.as_bytes());
        // No slug is empty, so an empty part says "not named".
        part(selector.project.as_ref().map_or("", |slug| slug.as_str()).as_bytes());
        part(selector.template.as_ref().map_or("", |slug| slug.as_str()).as_bytes());
        part(payload.as_str().as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// The first 16 bytes, which is what a claim has room for.
    pub fn short(&self) -> [u8; 16] {
        let mut short = [0; 16];
        short.copy_from_slice(&self.0[..16]);
        short
    }
}

/// 64 digits.
impl FromStr for Fingerprint {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, hex::FromHexError> {
        let mut bytes = [0; 32];
        let (first, second) = text.as_bytes().split_at_checked(32).unwrap_or_default();
        // As two uuids, which are read in a fraction of the time that `hex` takes; a worker reads one for each delivery.
        if second.len() == 32
            && let (Ok(first), Ok(second)) = (Uuid::try_parse_ascii(first), Uuid::try_parse_ascii(second))
        {
            bytes[..16].copy_from_slice(first.as_bytes());
            bytes[16..].copy_from_slice(second.as_bytes());
        } else {
            // It says what is wrong.
            hex::decode_to_slice(text, &mut bytes)?;
        }
        Ok(Self(bytes))
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        hex::encode(fingerprint.0)
    }
}
