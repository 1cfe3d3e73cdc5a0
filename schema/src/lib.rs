//! A playbook's input schema ([JSON Schema 2020-12](https://json-schema.org/draft/2020-12/json-schema-core)): what its payloads
//! have to be. The operator's command line refuses what a gateway could not use, by the same rules.
//!
//! Whoever holds a secret chooses payloads, so no payload may cost much more than its length: what a schema says has
//! [`bounds`], patterns are matched in linear time, and errors are looked for only as far as that is [cheap](self::cost).
//! Nothing is ever fetched.

mod bounds;
mod cost;
mod issue;

use jsonschema::{Draft, PatternOptions, Validator};
use proto::Payload;
use serde::Deserialize;
use serde_json::Value;

pub use bounds::{MAX_BYTES, MAX_NESTING, MAX_PATTERNS};
pub use issue::{Issue, MAX_ISSUES};

/// Bytes that one compiled pattern may take.
const PATTERN_BYTES: usize = 1 << 20;

/// What becomes of payloads that are not as the schema says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They are refused.
    #[default]
    Enforce,
    /// They are counted, and accepted.
    Shadow,
}

impl Mode {
    /// As the catalog's file and the database write it; also the metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}

/// A schema to hold payloads to.
#[derive(Debug)]
pub struct InputSchema {
    validator: Validator,
    /// Nesting of payloads whose errors may be looked for.
    explained: usize,
    /// Names that are required, anywhere.
    required: usize,
    /// Subschemas, anywhere, and at least as many as there are.
    subschemas: usize,
}

/// Bytes that errors may take: all are found before the first is told, and each names its place.
const ERRORS: usize = 64 << 20;
/// Bytes of an error besides.
const ERROR: usize = 256;
/// Bytes that copies of values may take: where one of several schemas has to fit, each error has a copy of what does not.
const COPIES: usize = 32 << 20;
/// Bytes of a value besides its text.
const VALUE: usize = 128;

/// Why a text is no input schema.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidSchema {
    /// Not JSON; where it is not.
    #[error("not valid JSON (line {line}, column {column})")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Longer than [`MAX_BYTES`].
    #[error("longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Deeper than [`MAX_NESTING`].
    #[error("arrays and objects are nested deeper than {MAX_NESTING}")]
    TooDeep,
    /// Holds U+0000, which no column of Postgres' can.
    #[error("holds U+0000, which cannot be stored")]
    Nul,
    /// More patterns than [`MAX_PATTERNS`].
    #[error("more than {MAX_PATTERNS} patterns")]
    TooManyPatterns,
    /// Names another dialect.
    #[error("{0}: only JSON Schema 2020-12 (https://json-schema.org/draft/2020-12/schema) is understood")]
    Dialect(String),
    /// Names something outside.
    #[error("{0}: refers to another document; nothing is fetched, so $ref begins with # and only the root has an $id")]
    Remote(String),
    /// Refers to nothing.
    #[error("{0}: refers to nothing")]
    Dangling(String),
    /// One value would be held to more than it could be within a request.
    #[error(
        "more than {} subschemas apply to one value, or more than {} one because of the other",
        cost::MOST,
        cost::LONGEST
    )]
    TooCostly,
    /// Not what the dialect allows; where, and what is wrong.
    #[error("{place}: {problem}")]
    Invalid {
        /// JSON Pointer (RFC 6901) into the schema.
        place: String,
        /// What is wrong there.
        problem: String,
    },
}

impl InputSchema {
    /// Compiles a schema's text.
    ///
    /// # Errors
    /// [`InvalidSchema`], whose text may quote the schema, which is the operator's.
    pub fn compile(text: &str) -> Result<Self, InvalidSchema> {
        let schema = bounds::parse(text)?;
        let explained = cost::explained(&schema)?;
        let (required, subschemas) = (bounds::required(&schema), bounds::objects(&schema).len());
        let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES);
        let options = jsonschema::options().with_draft(Draft::Draft202012).with_pattern_options(patterns);
        let validator = options.build(&schema).map_err(|error| InvalidSchema::Invalid {
            place: error.instance_path().as_str().to_owned(),
            problem: issue::shortened(&error.to_string()),
        })?;
        Ok(Self { validator, explained, required, subschemas })
    }

    /// At most how often a subschema may be asked of a value, for a payload of so many bytes: each two may be a value.
    pub fn effort(&self, bytes: usize) -> usize {
        self.subschemas.saturating_mul(bytes / 2 + 1)
    }

    /// Whether a payload is as the schema says; where not, at most [`MAX_ISSUES`] of the reasons, and at least one.
    ///
    /// # Errors
    /// Issues name places and rules, never a value of the payload.
    pub fn check(&self, payload: &Payload<'_>) -> Result<(), Vec<Issue>> {
        let length = payload.as_str().len();
        let mut json = serde_json::Deserializer::from_str(payload.as_str());
        // A payload is never too deep.
        json.disable_recursion_limit();
        // JSON that no double can hold, or a surrogate without its other half: it may be stored, and cannot be judged.
        let Ok(payload) = Value::deserialize(&mut json) else {
            return Err(vec![Issue::of_the_whole("holds a number or a character that no schema can judge")]);
        };
        // Remembers what it has judged, and so takes no longer for a schema that refers to itself.
        if self.validator.is_valid(&payload) {
            return Ok(());
        }
        let mut issues = Vec::new();
        if bounds::nesting(&payload) <= self.explained && self.can_explain(length, &payload) {
            for error in self.validator.iter_errors(&payload) {
                issues.extend(issue::of(&error).take(MAX_ISSUES - issues.len()));
                if issues.len() == MAX_ISSUES {
                    break;
                }
            }
        }
        if issues.is_empty() {
            issues.push(Issue::of_the_whole(
                "is not as the playbook's input schema says; it is too large, or nested too deep, to tell where",
            ));
        }
        Err(issues)
    }

    /// Whether the errors of a payload would take little room, however many they are.
    fn can_explain(&self, length: usize, payload: &Value) -> bool {
        let (values, path) = bounds::extent(payload);
        let errors = values.saturating_mul(self.subschemas).saturating_mul(path + ERROR);
        let copies = (length + values.saturating_mul(VALUE)).saturating_mul(self.required + 1);
        errors <= ERRORS && copies <= COPIES
    }
}
