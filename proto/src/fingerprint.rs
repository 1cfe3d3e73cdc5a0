//! What a delivery says, in 32 bytes.

use std::str::FromStr;

use arrayvec::ArrayVec;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::{Payload, PlaybookId, Selector, Slug, text};

/// BLAKE3 over version, playbook id, selector and payload. Two deliveries of one key are the same delivery exactly
/// if their fingerprints are equal; if not, the later one is a conflict (I4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(into = "String")]
pub struct Fingerprint(pub [u8; 32]);

/// Part of the hashed bytes: fingerprints of different versions never compare equal.
const VERSION: u8 = 1;

/// Most bytes before the payload: five lengths, version, playbook and two slugs.
const HEAD: usize = 5 * 8 + 1 + 16 + 2 * Slug::MAX_LEN;

impl Fingerprint {
    /// Fingerprint of a delivery to `playbook`.
    pub fn compute(playbook: PlaybookId, selector: &Selector, payload: &Payload<'_>) -> Self {
        // Each part behind its length, or two different lists of parts could run together to the same bytes. Put together before
        // they are hashed, since each call of the hasher costs more than such a part.
        let mut head = ArrayVec::<u8, HEAD>::new();
        let mut put = |bytes: &[u8]| head.try_extend_from_slice(bytes).expect("the longest parts fit");
        let length = |bytes: &[u8]| (bytes.len() as u64).to_le_bytes();
        let payload = payload.as_str().as_bytes();
        // No slug is empty, so an empty part says "not named".
        let [project, template] =
            [&selector.project, &selector.template].map(|slug| slug.as_ref().map_or("", Slug::as_str));
        for part in [&[VERSION][..], playbook.0.as_bytes(), project.as_bytes(), template.as_bytes()] {
            put(&length(part));
            put(part);
        }
        put(&length(payload));
        Self(*blake3::Hasher::new().update(&head).update(payload).finalize().as_bytes())
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
