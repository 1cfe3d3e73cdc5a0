//! What a schema may be, before it is compiled.

use serde_json::Value;

use crate::InvalidSchema;

/// Longest schema, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;
/// Deepest nesting of arrays and objects, the outermost included.
pub const MAX_NESTING: usize = 64;
/// Most patterns: each may take a megabyte when it is compiled.
pub const MAX_PATTERNS: usize = 64;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Reads a schema and holds it to the bounds.
pub(crate) fn parse(text: &str) -> Result<Value, InvalidSchema> {
    if text.len() > MAX_BYTES {
        return Err(InvalidSchema::TooLong);
    }
    let schema: Value = serde_json::from_str(text)
        .map_err(|error| InvalidSchema::Syntax { line: error.line(), column: error.column() })?;
    if nesting(&schema) > MAX_NESTING {
        return Err(InvalidSchema::TooDeep);
    }
    if patterns(&schema) > MAX_PATTERNS {
        return Err(InvalidSchema::TooManyPatterns);
    }
    if let Some(dialect) = schema.get("$schema")
        && dialect.as_str().map(|dialect| dialect.trim_end_matches('#')) != Some(DIALECT)
    {
        return Err(InvalidSchema::Dialect(dialect.to_string()));
    }
    Ok(schema)
}

/// How deep arrays and objects are nested; 0 for anything else.
pub(crate) fn nesting(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(nesting).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(nesting).max().unwrap_or(0),
        _ => 0,
    }
}

/// At least as many as there are: what stands under a keyword's name need not be the keyword.
fn patterns(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(patterns).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                patterns(value)
                    + match (name.as_str(), value) {
                        ("pattern", _) => 1,
                        ("patternProperties", Value::Object(patterns)) => patterns.len(),
                        _ => 0,
                    }
            })
            .sum(),
        _ => 0,
    }
}
