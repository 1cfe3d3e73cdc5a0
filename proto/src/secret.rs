//! Webhook secrets: made, recognised, and never stored.

use hmac::{KeyInit, Mac};
use subtle::ConstantTimeEq;

type Hmac = hmac::Hmac<sha2::Sha256>;

/// A secret in the clear, on its way to the one person who may see it. Its `Debug` shows nothing (I7).
pub struct Secret(String);

/// The text cannot serve as a webhook secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a webhook secret is {} to {} characters of 0x21 to 0x7E", Secret::MIN_LEN, Secret::MAX_LEN)]
pub struct InvalidSecret;

/// What every generated secret starts with, for secret scanners to match.
pub const PREFIX: &str = "rlsk_";

impl Secret {
    /// Shortest secret that may be brought along, in characters.
    pub const MIN_LEN: usize = 24;
    /// Longest secret that a request may carry, in bytes.
    pub const MAX_LEN: usize = 512;

    /// `rlsk_`, 44 characters for 32 random bytes, 6 for their CRC-32; both in base62, padded with zeros. The
    /// checksum lets a scanner tell a secret from a look-alike without asking anybody.
    pub fn from_entropy(entropy: &[u8; 32]) -> Self {
        let (high, low) = entropy.split_at(16);
        let half = |bytes: &[u8]| u128::from_be_bytes(bytes.try_into().expect("half of 32 bytes is 16"));
        let body = format!("{:0>22}{:0>22}", base62::encode(half(high)), base62::encode(half(low)));
        Self(format!("{PREFIX}{body}{}", checksum(&body)))
    }

    /// Takes a secret that exists already, as another system made it.
    pub fn import(text: &str) -> Result<Self, InvalidSecret> {
        let fits = (Self::MIN_LEN..=Self::MAX_LEN).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSecret)
        }
    }

    /// The secret itself. Print it once; store only its [`Digest`].
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// True if the text has the form of a generated secret and its checksum is right.
pub fn is_generated(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(PREFIX) else { return false };
    rest.len() == 50 && rest.is_ascii() && checksum(&rest[..44]) == rest[44..]
}

fn checksum(body: &str) -> String {
    format!("{:0>6}", base62::encode(crc32fast::hash(body.as_bytes())))
}

/// The key of every digest. Held outside the database, so that a stolen dump lets nobody in or even guess.
#[derive(Clone)]
pub struct Pepper(Hmac);

/// The pepper is too short to protect anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the pepper must be at least {} bytes long", Pepper::MIN_LEN)]
pub struct ShortPepper;

impl Pepper {
    /// Shortest pepper, in bytes: as long as the digest ([RFC 2104, section 3](https://www.rfc-editor.org/rfc/rfc2104#section-3)).
    pub const MIN_LEN: usize = 32;

    /// Takes the pepper's bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, ShortPepper> {
        if bytes.len() < Self::MIN_LEN {
            return Err(ShortPepper);
        }
        // Keyed once here; each request copies the state instead of hashing the key again.
        Ok(Self(Hmac::new_from_slice(bytes).expect("HMAC takes a key of any length")))
    }

    /// HMAC-SHA256 of a secret under this pepper.
    pub fn digest(&self, secret: &[u8]) -> Digest {
        Digest(self.0.clone().chain_update(secret).finalize().into_bytes().into())
    }
}

impl std::fmt::Debug for Pepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pepper(…)")
    }
}

/// What is stored of a secret. Has no `==`: digests are compared in constant time or not at all.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// As read from the database.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As the database stores it.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// True if any of `live` equals this digest. Looks at all of them whatever it finds, so that time tells nothing.
    pub fn matches_any(&self, live: &[Self]) -> bool {
        let ours = self.halves();
        let equals = |other: &Self| {
            let [first, second] = other.halves();
            ours[0].ct_eq(&first) & ours[1].ct_eq(&second)
        };
        live.iter().fold(subtle::Choice::from(0), |found, other| found | equals(other)).into()
    }

    /// As two numbers, which take two comparisons instead of one for each byte.
    fn halves(&self) -> [u128; 2] {
        let (first, second) = self.0.split_at(16);
        [first, second].map(|half| u128::from_ne_bytes(half.try_into().expect("half of 32 bytes is 16")))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest(…)")
    }
}
