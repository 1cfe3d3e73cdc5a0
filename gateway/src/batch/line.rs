//! What a line says.

use bytes::Bytes;
use proto::{IdempotencyKey, Selector};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::refusal::Refusal;

/// A delivery in a line.
pub(super) struct Line {
    pub(super) key: IdempotencyKey,
    pub(super) selector: Selector,
    pub(super) payload: Bytes,
}

/// Members that are not known are refused rather than ignored: one that is misspelt would send a delivery elsewhere.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Members<'a> {
    #[serde(borrow, default)]
    idempotency_key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "named")]
    project: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "named")]
    template: Option<&'a RawValue>,
}

/// `null` names nothing, and is not the same as to say nothing.
fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a line, in the order of a delivery's checks.
pub(super) fn read(line: &Bytes, limit: usize) -> Result<Line, Refusal> {
    // Its payload is judged apart, so that what is wrong with it is told in the same words as of a delivery alone.
    let text = std::str::from_utf8(line).map_err(|_| Refusal::InvalidLine(NOT_UTF8))?;
    let members: Members<'_> = serde_json::from_str(text).map_err(|error| Refusal::InvalidLine(what(&error)))?;
    let key = match members.idempotency_key {
        None => return Err(Refusal::MissingIdempotencyKey),
        Some(key) => serde_json::from_str(key.get()).map_err(|_| Refusal::InvalidIdempotencyKey)?,
    };
    let slug = |member: Option<&RawValue>| {
        member.map(|slug| serde_json::from_str(slug.get())).transpose().map_err(|_| Refusal::InvalidQuery)
    };
    let selector = Selector { project: slug(members.project)?, template: slug(members.template)? };
    let payload = members.payload.ok_or(Refusal::InvalidLine(NO_PAYLOAD))?.get().as_bytes();
    if payload.len() > limit {
        return Err(Refusal::PayloadTooLarge);
    }
    Ok(Line { key, selector, payload: line.slice_ref(payload) })
}

const NOT_UTF8: &str = "the line is not UTF-8";
const NO_PAYLOAD: &str = "the line has no payload";

/// serde's own text quotes what it stumbled over.
fn what(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Data => {
            "expected an object with idempotencyKey, payload and perhaps project and template, each once and nothing else"
        }
        _ => "the line is not valid JSON",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let of = |text: &str| {
            let line = read(&Bytes::copy_from_slice(text.as_bytes()), 20).map_err(|refusal| refusal.told().code)?;
            let slug = |slug: Option<proto::Slug>| slug.map(String::from).unwrap_or_default();
            let payload = String::from_utf8(line.payload.to_vec()).expect("UTF-8");
            Ok((line.key.as_str().to_owned(), slug(line.selector.project), slug(line.selector.template), payload))
        };
        let is = |key: &str, project: &str, template: &str, payload: &str| {
            Ok((key.to_owned(), project.to_owned(), template.to_owned(), payload.to_owned()))
        };
        assert_eq!(of(r#"{"idempotencyKey":"k","payload":{ "a" : 1 }}"#), is("k", "", "", r#"{ "a" : 1 }"#));
        assert_eq!(
            of(r#" {"payload":{},"template":"t","idempotencyKey":"\u006b","project":"p"} "#),
            is("k", "p", "t", "{}")
        );
        // Whether it is an object is for the next check to say.
        assert_eq!(of(r#"{"idempotencyKey":"k","payload":[1]}"#), is("k", "", "", "[1]"));
        for (line, code) in [
            (r#"{"payload":{}}"#, "missing_idempotency_key"),
            (r#"{"idempotencyKey":"","payload":{}}"#, "invalid_idempotency_key"),
            (r#"{"idempotencyKey":"a b","payload":{}}"#, "invalid_idempotency_key"),
            (r#"{"idempotencyKey":7,"payload":{}}"#, "invalid_idempotency_key"),
            (r#"{"idempotencyKey":"k","payload":{},"project":""}"#, "invalid_query"),
            (r#"{"idempotencyKey":"k","payload":{},"template":"A"}"#, "invalid_query"),
            (r#"{"idempotencyKey":"k","payload":{},"template":1}"#, "invalid_query"),
            (r#"{"idempotencyKey":"k","payload":{},"project":null}"#, "invalid_query"),
            (r#"{"idempotencyKey":null,"payload":{}}"#, "missing_idempotency_key"),
            (r#"{"idempotencyKey":"k"}"#, "invalid_body"),
            (r#"{"idempotencyKey":"k","payload":{},"projct":"p"}"#, "invalid_body"),
            (r#"{"idempotencyKey":"k","payload":{},"payload":{}}"#, "invalid_body"),
            (r#"["k"]"#, "invalid_body"),
            ("{", "invalid_body"),
            ("null", "invalid_body"),
            (r#"{"idempotencyKey":"k","payload":{}} {}"#, "invalid_body"),
            (r#"{"idempotencyKey":"k","payload":{"a":"0123456789abc"}}"#, "payload_too_large"),
        ] {
            assert_eq!(of(line), Err(code), "{line}");
        }
    }
}
