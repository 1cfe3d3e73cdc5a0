//! What a delivery says, in 32 bytes.

use serde::{Deserialize, Serialize};

use crate::{Payload, PlaybookId, Selector};

/// BLAKE3 over version, playbook id, selector and payload. Two deliveries of one key are the same delivery exactly
/// if their fingerprints are equal; if not, the later one is a conflict (I4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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

impl TryFrom<String> for Fingerprint {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, hex::FromHexError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map(|()| Self(bytes))
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        hex::encode(fingerprint.0)
    }
}
