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
    if has_nul(&schema) {
        return Err(InvalidSchema::Nul);
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

/// All that may be a subschema.
pub(crate) fn objects(value: &Value) -> Vec<&Value> {
    let (mut objects, mut left) = (Vec::new(), vec![value]);
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(members) => {
                objects.push(value);
                left.extend(members.values());
            }
            _ => {}
        }
    }
    objects
}

/// How many values there are, and how long the path to one may be, in bytes.
pub(crate) fn extent(value: &Value) -> (usize, usize) {
    let fold = |(values, path): (usize, usize), (name, value): (usize, &Value)| {
        let (more, below) = extent(value);
        (values + more, path.max(name + 1 + below))
    };
    match value {
        Value::Array(items) => items.iter().map(|item| (7, item)).fold((1, 0), fold),
        Value::Object(members) => members.iter().map(|(name, value)| (2 * name.len(), value)).fold((1, 0), fold),
        _ => (1, 0),
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// Names that are said to be required, which errors come of, one each.
pub(crate) fn required(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(required).sum(),
        Value::Object(members) => {
            let own = members.get("required").and_then(Value::as_array).map_or(0, Vec::len);
            own + members.values().map(required).sum::<usize>()
        }
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
