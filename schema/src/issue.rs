//! What is wrong with a payload, in words that are not the payload's.

use jsonschema::{ValidationError, error::ValidationErrorKind as Kind};

/// Most issues that are told of one payload.
pub const MAX_ISSUES: usize = 20;
/// Longest path and longest message, in characters: names may be as long as a payload, and schemas may list much.
const MAX_TEXT: usize = 300;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issue {
    /// JSON Pointer (RFC 6901) to what is wrong, empty for the whole; cut short where it is very long.
    pub path: String,
    /// What is wrong with it. Quotes the schema, never a value.
    pub message: String,
    /// JSON Pointer into the schema: the rule. Nothing of the payload is in it.
    pub rule: String,
}

impl Issue {
    pub(crate) fn of_the_whole(message: &str) -> Self {
        Self { path: String::new(), message: message.to_owned(), rule: String::new() }
    }
}

/// One for each property that should not be there, else one.
pub(crate) fn of(error: &ValidationError<'_>) -> Box<dyn Iterator<Item = Issue>> {
    let (path, rule) = (error.instance_path().as_str().to_owned(), error.schema_path().as_str().to_owned());
    let issue = |path: &str, message: &str, rule: &str| Issue {
        path: shortened(path),
        message: shortened(message),
        rule: shortened(rule),
    };
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let unexpected: Vec<String> = unexpected.iter().take(MAX_ISSUES).map(|name| escaped(name)).collect();
            Box::new(
                unexpected
                    .into_iter()
                    .map(move |name| issue(&format!("{path}/{name}"), "no property of this name is allowed", &rule)),
            )
        }
        Kind::PropertyNames { .. } => {
            Box::new(std::iter::once(issue(&path, "has a property whose name is not allowed", &rule)))
        }
        // Says how many, in the words of the payload.
        Kind::UnevaluatedItems { .. } => {
            Box::new(std::iter::once(issue(&path, "has items that are not allowed", &rule)))
        }
        _ => Box::new(std::iter::once(issue(&path, &error.masked().to_string(), &rule))),
    }
}

/// As a pointer writes a name.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// At most so many characters.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
