//! Names in URLs and in the catalog.

use serde::{Deserialize, Serialize};

/// `[a-z0-9][a-z0-9-]{0,62}`, as long as a DNS label ([RFC 1035, section 2.3.4](https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4)).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(String);

/// The text is no slug.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a slug is 1 to {} characters of a-z, 0-9 and '-', the first of them not '-'", Slug::MAX_LEN)]
pub struct InvalidSlug;

impl Slug {
    /// Longest slug, in characters (each is one byte).
    pub const MAX_LEN: usize = 63;

    /// The slug's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if the text is a slug.
    pub fn is_valid(text: &str) -> bool {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        match text.as_bytes() {
            [first, rest @ ..] => {
                word(*first) && rest.len() < Self::MAX_LEN && rest.iter().all(|byte| word(*byte) || *byte == b'-')
            }
            [] => false,
        }
    }
}

impl std::str::FromStr for Slug {
    type Err = InvalidSlug;

    fn from_str(text: &str) -> Result<Self, InvalidSlug> {
        if Self::is_valid(text) { Ok(Self(text.to_owned())) } else { Err(InvalidSlug) }
    }
}

impl TryFrom<String> for Slug {
    type Error = InvalidSlug;

    fn try_from(text: String) -> Result<Self, InvalidSlug> {
        if Self::is_valid(&text) { Ok(Self(text)) } else { Err(InvalidSlug) }
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> Self {
        slug.0
    }
}

/// Lets a map keyed by slug be asked with a `&str`; sound because equality and hash are the text's own.
impl std::borrow::Borrow<str> for Slug {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Slug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
