//! The contract as the gateway tells it to machines. Every answer that a test gets is held to it, whatever else the test is about.

use std::collections::HashMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::Answer;

/// The document that is served.
pub const DOCUMENT: &str = include_str!("../../gateway/openapi.json");

static CONTRACT: LazyLock<Contract> =
    LazyLock::new(|| Contract::new(serde_json::from_str(DOCUMENT).expect("the document is JSON")));

/// What HTTP itself has, or the protocol's version, in any answer.
const OF_HTTP: [&str; 5] = ["content-length", "content-type", "connection", "date", "allow"];

struct Contract {
    document: Value,
    /// By JSON Pointer to the response; and that of a batch's lines.
    schemas: HashMap<String, Validator>,
    line: Validator,
}

impl Contract {
    fn new(document: Value) -> Self {
        let compile = |schema: &Value| validator(&document, schema);
        let mut schemas = HashMap::new();
        for (path, operations) in document["paths"].as_object().expect("paths") {
            for (method, operation) in operations.as_object().expect("operations") {
                for (status, response) in operation["responses"].as_object().expect("responses") {
                    if let Some(content) = response["content"].get("application/json") {
                        schemas.insert(format!("{method} {path} {status}"), compile(&content["schema"]));
                    }
                }
            }
        }
        let line = compile(&document["components"]["schemas"]["BatchAnswer"]);
        Self { schemas, line, document }
    }

    /// The path of the document that this one is of.
    fn template(&self, path: &str) -> Option<&String> {
        let path: Vec<_> = path.strip_prefix("/api/")?.split('/').collect();
        let fits = |template: &str| {
            let template: Vec<_> = template[1..].split('/').collect();
            template.len() == path.len()
                && template.iter().zip(&path).all(|(one, other)| one.starts_with('{') || one == other)
        };
        self.document["paths"].as_object()?.keys().find(|template| fits(template))
    }
}

/// A schema of an OpenAPI document, which refers to what is in the document.
#[must_use]
pub fn validator(document: &Value, schema: &Value) -> Validator {
    let mut whole = json!({ "components": document["components"], "allOf": [schema] });
    if let Some(root) = whole.as_object_mut() {
        root.retain(|_, value| !value.is_null());
    }
    jsonschema::options().should_validate_formats(true).build(&whole).expect("a schema")
}

/// Fails where the document does not have this answer. What is no operation of it is none of its business.
#[track_caller]
pub(crate) fn hold(method: &str, answer: &Answer) {
    let contract = &*CONTRACT;
    let Some(template) = contract.template(&answer.path) else { return };
    let method = method.to_lowercase();
    let operation = &contract.document["paths"][template][&method];
    if operation.is_null() {
        return;
    }
    let status = answer.status.to_string();
    let response = &operation["responses"][&status];
    assert!(!response.is_null(), "{method} {template} is not to be answered {status}: {answer:?}");
    for name in answer.headers.keys().map(|name| name.as_str()).filter(|name| !OF_HTTP.contains(name)) {
        let documented = response["headers"].as_object().into_iter().flat_map(|headers| headers.keys());
        let mut documented = documented.map(|name| name.to_lowercase());
        let cors = name == "vary" || name.starts_with("access-control-");
        assert!(cors || documented.any(|documented| documented == name), "{method} {template} {status} has no {name}");
    }
    if status != "431" {
        assert!(answer.headers.contains_key("x-request-id"), "{answer:?}");
    }
    let Some(content) = response["content"].as_object() else {
        assert!(answer.text.is_empty(), "{answer:?}");
        return;
    };
    let media_type = answer.header("content-type").expect("a media type");
    assert!(content.contains_key(media_type), "{method} {template} {status} is no {media_type}");
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|error| panic!("{error}: {text:.300}"));
    let check = |schema: &Validator, text: &str| {
        if let Err(error) = schema.validate(&parse(text)) {
            panic!("{method} {template} {status}: {error} ({}): {text:.500}", error.schema_path());
        }
    };
    match contract.schemas.get(&format!("{method} {template} {status}")) {
        Some(schema) => check(schema, &answer.text),
        None => answer.text.lines().for_each(|line| check(&contract.line, line)),
    }
}
