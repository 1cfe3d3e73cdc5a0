//! How many subschemas a value may have to be held to.
//!
//! A payload that is valid, or is not, is told by a validator that remembers; but to say where it is wrong, every subschema that
//! applies is asked anew, and a schema that refers to itself twice doubles that with each level of the payload. So the most
//! subschemas that can apply along one path into a payload are counted, level by level, up to a bound; what is nested
//! deeper than that is told to be wrong, and not where.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::{InvalidSchema, MAX_NESTING, bounds};

/// Most subschemas that may be asked along one path into a payload.
pub(crate) const MOST: u64 = 10_000;
/// Deepest payload (proto's `MAX_NESTING`), and a level for what is in it.
const DEEPEST: usize = 129;

/// What a keyword holds.
#[derive(Clone, Copy)]
enum Holds {
    /// A subschema.
    One,
    /// A list of them.
    List,
    /// Some by name.
    Map,
}

/// Keywords whose subschemas apply to the value itself,
const HERE: [(&str, Holds); 8] = [
    ("not", Holds::One),
    ("if", Holds::One),
    ("then", Holds::One),
    ("else", Holds::One),
    ("allOf", Holds::List),
    ("anyOf", Holds::List),
    ("oneOf", Holds::List),
    ("dependentSchemas", Holds::Map),
];
/// to what is in it, whatever else does,
const BELOW: [(&str, Holds); 7] = [
    ("items", Holds::One),
    ("additionalProperties", Holds::One),
    ("unevaluatedProperties", Holds::One),
    ("unevaluatedItems", Holds::One),
    ("contains", Holds::One),
    ("propertyNames", Holds::One),
    ("patternProperties", Holds::Map),
];
/// or to a part of it each.
const APART: [(&str, Holds); 2] = [("properties", Holds::Map), ("prefixItems", Holds::List)];
/// These ask once more which parts the others have judged.
const AGAIN: [&str; 2] = ["unevaluatedProperties", "unevaluatedItems"];

/// Longest chain of subschemas that apply to one value because another does: a validator's stack is as deep as that, for each
/// level of a payload.
pub(crate) const LONGEST: usize = 24;

/// Nesting of payloads up to which the bound holds.
pub(crate) fn explained(schema: &Value) -> Result<usize, InvalidSchema> {
    let mut counter = Counter { root: schema, anchors: anchors(schema)?, known: HashMap::new(), chain: 0 };
    // Wherever it may be asked.
    for subschema in bounds::objects(schema) {
        counter.count(subschema, 0)?;
    }
    if counter.count(schema, 0)?.0 > MOST {
        return Err(InvalidSchema::TooCostly);
    }
    for depth in 1..=DEEPEST {
        if counter.count(schema, depth)?.0 > MOST {
            return Ok(depth - 1);
        }
    }
    Ok(usize::MAX)
}

struct Counter<'a> {
    root: &'a Value,
    anchors: HashMap<&'a str, &'a Value>,
    /// By the subschema's address and the depth; none while it is being counted.
    known: HashMap<(*const Value, usize), Option<(u64, usize)>>,
    /// How many are being counted, one because of the other.
    chain: usize,
}

impl<'a> Counter<'a> {
    /// Subschemas asked along one path that goes so deep from a value to which this one applies, and the longest chain of them at
    /// that value.
    fn count(&mut self, schema: &'a Value, depth: usize) -> Result<(u64, usize), InvalidSchema> {
        let Value::Object(keywords) = schema else { return Ok((1, 1)) };
        let key = (std::ptr::from_ref(schema), depth);
        match self.known.get(&key) {
            Some(Some(known)) => return Ok(*known),
            // Applies to the same value because it applies: it is not asked again.
            Some(None) => return Ok((0, 0)),
            None => _ = self.known.insert(key, None),
        }
        // This stack, too, has an end.
        self.chain += 1;
        if self.chain > 4 * MAX_NESTING {
            return Err(InvalidSchema::TooCostly);
        }
        let (mut here, mut chain) = (0, 0);
        let subschemas_here = HERE.iter().flat_map(|keyword| subschemas(keywords, keyword));
        for subschema in self.referred(keywords)?.into_iter().chain(subschemas_here) {
            let (count, length) = self.count(subschema, depth)?;
            here = bounded(here + count);
            chain = chain.max(length);
        }
        if chain == LONGEST {
            return Err(InvalidSchema::TooCostly);
        }
        if AGAIN.iter().any(|keyword| keywords.contains_key(*keyword)) {
            here *= 2;
        }
        let mut count = 1 + here;
        if let Some(below) = depth.checked_sub(1) {
            for subschema in BELOW.iter().flat_map(|keyword| subschemas(keywords, keyword)) {
                count = bounded(count + self.count(subschema, below)?.0);
            }
            for keyword in &APART {
                let mut most = 0;
                for subschema in subschemas(keywords, keyword) {
                    most = most.max(self.count(subschema, below)?.0);
                }
                count += most;
            }
        }
        self.chain -= 1;
        let known = (bounded(count), chain + 1);
        self.known.insert(key, Some(known));
        Ok(known)
    }

    fn referred(&self, keywords: &'a Map<String, Value>) -> Result<Vec<&'a Value>, InvalidSchema> {
        let mut found = Vec::new();
        for reference in ["$ref", "$dynamicRef"].iter().filter_map(|keyword| keywords.get(*keyword)?.as_str()) {
            let dangling = || InvalidSchema::Dangling(reference.to_owned());
            let fragment = reference.strip_prefix('#').ok_or_else(dangling)?;
            let fragment = percent_decode_str(fragment).decode_utf8().map_err(|_| dangling())?;
            let subschema = match fragment.as_ref() {
                pointer if pointer.is_empty() || pointer.starts_with('/') => self.root.pointer(pointer),
                anchor => self.anchors.get(anchor).copied(),
            };
            found.push(subschema.ok_or_else(dangling)?);
        }
        Ok(found)
    }
}

/// More than too many is too many.
fn bounded(count: u64) -> u64 {
    count.min(MOST + 1)
}

/// The subschemas under a keyword.
fn subschemas<'a>(keywords: &'a Map<String, Value>, (keyword, holds): &(&str, Holds)) -> Vec<&'a Value> {
    match (holds, keywords.get(*keyword)) {
        (Holds::One, Some(schema)) => vec![schema],
        (Holds::List, Some(Value::Array(list))) => list.iter().collect(),
        (Holds::Map, Some(Value::Object(map))) => map.values().collect(),
        _ => Vec::new(),
    }
}

/// Where `$anchor` and `$dynamicAnchor` stand, in what must be one document: an `$id` below the root would begin another.
fn anchors(schema: &Value) -> Result<HashMap<&str, &Value>, InvalidSchema> {
    let mut anchors = HashMap::new();
    let mut left = vec![schema];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(members) => {
                for keyword in ["$anchor", "$dynamicAnchor"] {
                    if let Some(Value::String(name)) = members.get(keyword) {
                        anchors.insert(name.as_str(), value);
                    }
                }
                let id = members.get("$id").filter(|_| !std::ptr::eq(value, schema));
                let references = ["$ref", "$dynamicRef"].iter().filter_map(|keyword| members.get(*keyword));
                let remote =
                    references.filter(|reference| reference.as_str().is_some_and(|name| !name.starts_with('#')));
                if let Some(Value::String(name)) = id.into_iter().chain(remote).next() {
                    return Err(InvalidSchema::Remote(name.clone()));
                }
                left.extend(members.values());
            }
            _ => {}
        }
    }
    Ok(anchors)
}
