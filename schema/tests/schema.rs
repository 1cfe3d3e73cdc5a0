//! What may be an input schema, and what is said of payloads that are not as it says.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that has failed")]

use std::time::{Duration, Instant};

use proto::Payload;
use schema::{InputSchema, InvalidSchema, Issue, MAX_BYTES, MAX_ISSUES, MAX_NESTING, MAX_PATTERNS};
use serde_json::{Value, json};

fn compile(schema: &Value) -> Result<InputSchema, InvalidSchema> {
    InputSchema::compile(&schema.to_string())
}

fn check(schema: &InputSchema, payload: &str) -> Result<(), Vec<Issue>> {
    schema.check(&Payload::parse(payload.as_bytes()).unwrap())
}

/// Path and message of each issue.
fn issues(schema: &Value, payload: &Value) -> Vec<(String, String)> {
    let issues = check(&compile(schema).unwrap(), &payload.to_string()).err().unwrap_or_default();
    issues.into_iter().map(|issue| (issue.path, issue.message)).collect()
}

#[test]
fn a_payload_that_is_not_as_the_schema_says() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/order",
        "required": ["order"],
        "properties": {
            "order": {
                "properties": {
                    "total": {"type": "number", "minimum": 0},
                    "kind": {"enum": ["new", "old"]},
                    "code": {"type": "string", "pattern": "^[A-Z]+$", "maxLength": 3},
                    "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "uniqueItems": true},
                    "a/b~c": {"const": 1},
                },
                "additionalProperties": false,
            },
        },
        "propertyNames": {"maxLength": 8},
        "$defs": {"tag": {"type": "string", "minLength": 1}},
    });
    assert_eq!(issues(&schema, &json!({"order": {"total": 1.5, "tags": ["a", "b"], "code": "AB"}})), []);
    let secret = "canary";
    let payload = json!({
        "order": {
            "total": secret, "kind": secret, "code": secret, "tags": [secret, secret, 7], "a/b~c": secret, "odd/one": secret,
        },
        "much too long": secret,
    });
    let found = issues(&schema, &payload);
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    let mut expected = [
        "/order/total",
        "/order/kind",
        "/order/code",
        "/order/code",
        "/order/tags",
        "/order/tags/2",
        "/order/a~1b~0c",
        "/order/odd~1one",
        "",
    ];
    expected.sort_unstable();
    let mut sorted = paths.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    for (_, message) in &found {
        assert!(!message.contains(secret) && !message.contains("odd") && !message.contains("much"), "{message}");
    }
    assert!(found.contains(&("/order/total".to_owned(), r#"value is not of type "number""#.to_owned())), "{found:?}");
    assert!(
        found.contains(&("/order/odd~1one".to_owned(), "no property of this name is allowed".to_owned())),
        "{found:?}"
    );
}

#[test]
fn issues_are_few_and_short() {
    let schema = json!({"additionalProperties": {"type": "string"}, "properties": {"list": {"items": {"enum": vec!["x"; 500]}}}});
    let many: serde_json::Map<String, Value> =
        (0..12).map(|n| (format!("{n}{}", "n".repeat(1000)), json!(n))).collect();
    let found = issues(&schema, &many.into());
    assert_eq!(found.len(), 12);
    assert!(found.iter().all(|(path, message)| path.chars().count() <= 301 && message.chars().count() <= 301));
    assert_eq!(
        issues(&schema, &json!({"list": vec![0; 1000]})).len(),
        MAX_ISSUES,
        "{:?}",
        issues(&schema, &json!({"list": vec![0; 1000]}))
    );
    let closed = json!({"properties": {"a": true}, "additionalProperties": false});
    let many: serde_json::Map<String, Value> = (0..1000).map(|n| (n.to_string(), json!(n))).collect();
    assert_eq!(issues(&closed, &many.into()).len(), MAX_ISSUES);
}

#[test]
fn what_no_schema_can_judge() {
    let schema = compile(&json!({})).unwrap();
    for payload in [r#"{"n":1e400}"#, r#"{"s":"\ud800"}"#] {
        let found = check(&schema, payload).unwrap_err();
        assert_eq!((found.len(), found[0].path.as_str()), (1, ""), "{payload}");
    }
    // As deep as a payload may be.
    let deep = format!("{}{{}}{}", r#"{"a":"#.repeat(127), "}".repeat(127));
    assert_eq!(check(&schema, &deep), Ok(()));
    // Of two members of one name the last counts.
    let number = compile(&json!({"properties": {"a": {"type": "number"}}})).unwrap();
    assert_eq!(check(&number, r#"{"a":"","a":1}"#), Ok(()));
    assert!(check(&number, r#"{"a":1,"a":""}"#).is_err());
}

#[test]
fn what_is_no_input_schema() {
    let nested = |depth: usize| format!("{}{}", r#"{"items":"#.repeat(depth - 1), "{}") + &"}".repeat(depth - 1);
    let patterns =
        |count: usize| json!({"anyOf": (0..count).map(|n| json!({"pattern": n.to_string()})).collect::<Vec<_>>()});
    assert!(InputSchema::compile(&nested(MAX_NESTING)).is_ok());
    assert!(compile(&patterns(MAX_PATTERNS)).is_ok());
    assert!(compile(&json!(true)).is_ok());
    let long = json!({"title": "x".repeat(MAX_BYTES)}).to_string();
    for (text, wrong) in [
        (long, "longer than"),
        (nested(MAX_NESTING + 1), "nested deeper"),
        (patterns(MAX_PATTERNS + 1).to_string(), "more than 64 patterns"),
        ("{".to_owned(), "line 1, column 1"),
        ("[]".to_owned(), ""),
        (json!({"type": "objekt"}).to_string(), "/type"),
        (json!({"properties": {"a": {"minimum": "1"}}}).to_string(), "/properties/a/minimum"),
        (json!({"pattern": "("}).to_string(), "/pattern"),
        // Look-around takes time beyond all bounds.
        (json!({"pattern": "(?=a)"}).to_string(), "/pattern"),
        (json!({"pattern": "(a{1000}){1000}"}).to_string(), ""),
        (json!({"$schema": "http://json-schema.org/draft-07/schema#"}).to_string(), "only JSON Schema 2020-12"),
        (json!({"$ref": "https://example.com/x"}).to_string(), "nothing is fetched"),
        (json!({"$ref": "file:///etc/passwd"}).to_string(), "nothing is fetched"),
        (json!({"$ref": "other.json"}).to_string(), "nothing is fetched"),
        (json!({"$defs": {"a": {"$id": "https://example.com/x"}}}).to_string(), "only the root has an $id"),
        (json!({"$defs": {"unused": {"$ref": "https://example.com/x"}}}).to_string(), ""),
        (json!({"$ref": "#/$defs/none"}).to_string(), ""),
        (json!({"$ref": "#none"}).to_string(), ""),
        (doubled(14).to_string(), "more than 10000 subschemas"),
        (chain(30).to_string(), "one because of the other"),
        (chain(900).to_string(), "one because of the other"),
        (json!({"const": "\0"}).to_string(), "U+0000"),
    ] {
        let error = InputSchema::compile(&text).expect_err(&text[..text.len().min(200)]).to_string();
        assert!(error.contains(wrong), "{error}");
    }
}

/// So many definitions, each of which refers to the next one twice.
fn doubled(times: usize) -> Value {
    let definition =
        |n: usize| json!({"allOf": [{"$ref": format!("#/$defs/{}", n + 1)}, {"$ref": format!("#/$defs/{}", n + 1)}]});
    let mut definitions: serde_json::Map<String, Value> = (0..times).map(|n| (n.to_string(), definition(n))).collect();
    definitions.insert(times.to_string(), json!({"type": "object"}));
    json!({"$ref": "#/$defs/0", "$defs": definitions})
}

/// So many definitions, each of which refers to the next one, and the last to the root, a level below.
fn chain(length: usize) -> Value {
    let definition = |n: usize| json!({"allOf": [{"$ref": format!("#/$defs/{}", n + 1)}]});
    let mut definitions: serde_json::Map<String, Value> = (0..length).map(|n| (n.to_string(), definition(n))).collect();
    definitions.insert(length.to_string(), json!({"type": "object", "properties": {"x": {"$ref": "#"}}}));
    json!({"$ref": "#/$defs/0", "$defs": definitions})
}

/// The longest chain that is let in, at every level of the deepest payload, fits into the stack of a thread.
#[test]
fn no_payload_needs_a_deep_stack() {
    let schema = compile(&chain(7)).unwrap();
    for leaf in ["{}", "1"] {
        let payload = format!("{}{leaf}{}", r#"{"x":"#.repeat(127), "}".repeat(127));
        assert_eq!(check(&schema, &payload).is_ok(), leaf == "{}");
    }
}

/// What is found is all found before the first is told: so little is looked for in a payload that is large.
#[test]
fn no_payload_takes_much_memory() {
    let names = json!({"additionalProperties": {"items": {"type": "string"}}});
    let payload = format!(r#"{{"{}":[{}]}}"#, "n".repeat(250_000), vec!["0"; 130_000].join(","));
    let found = check(&compile(&names).unwrap(), &payload).unwrap_err();
    assert_eq!((found.len(), found[0].path.as_str()), (1, ""), "{found:?}");
    let required: Vec<String> = (0..400).map(|n| n.to_string()).collect();
    let copies = json!({"oneOf": [{"required": required}, {"required": required}]});
    let payload = format!(r#"{{"list":[{}]}}"#, vec![r#"{"":0}"#; 1500].join(","));
    let found = check(&compile(&copies).unwrap(), &payload).unwrap_err();
    assert!(found[0].message.contains("too large"), "{found:?}");
}

/// A sender chooses the payload, and how long that takes must not be up to the sender.
#[test]
fn no_payload_takes_long() {
    let node = |inner: Value| json!({"type": "object", "properties": {"x": inner}});
    let twice = json!([{"$ref": "#"}, {"$ref": "#"}]);
    let expression = json!({
        "oneOf": [
            {"properties": {"x": {"$ref": "#"}}, "required": ["x"]},
            {"properties": {"x": {"$ref": "#"}}, "required": ["x", "y"]},
            {"properties": {"x": {"$dynamicRef": "#n"}}, "required": ["z"]},
        ],
        "$dynamicAnchor": "n",
    });
    let conditional = json!({"properties": {"x": {"if": {"$ref": "#"}, "then": {"$ref": "#"}, "else": {"$ref": "#"}}}, "required": ["x"]});
    let unevaluated = json!({"properties": {"x": {"anyOf": twice}}, "required": ["x"], "unevaluatedProperties": false});
    for schema in [
        node(json!({"allOf": twice})),
        node(json!({"anyOf": twice})),
        node(json!({"oneOf": twice})),
        expression,
        conditional,
        unevaluated,
        json!({"allOf": [{"$ref": "#"}]}),
        doubled(11),
    ] {
        let compiled = compile(&schema).unwrap();
        for depth in [1, 8, 30, 127] {
            for leaf in ["{}", "1"] {
                let payload = format!("{}{leaf}{}", r#"{"x":"#.repeat(depth), "}".repeat(depth));
                let since = Instant::now();
                let found = check(&compiled, &payload).err().unwrap_or_default();
                assert!(since.elapsed() < Duration::from_secs(2), "{schema}: {depth} deep took {:?}", since.elapsed());
                assert!(found.len() <= MAX_ISSUES);
            }
        }
    }
}

/// What refers to itself only once is told of wherever it is wrong.
#[test]
fn a_deep_payload_of_a_tree() {
    let tree = json!({"properties": {"value": {"type": "number"}, "children": {"items": {"$ref": "#"}}}, "additionalProperties": false});
    let payload = format!("{}{}{}", r#"{"children":["#.repeat(60), r#"{"value":""}"#, "]}".repeat(60));
    let found = check(&compile(&tree).unwrap(), &payload).unwrap_err();
    assert_eq!(
        (found.len(), found[0].path.ends_with("/children/0/value")),
        (1, found[0].path.len() < 300),
        "{found:?}"
    );
}
