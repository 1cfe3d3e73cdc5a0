//! Whatever a request says, it is judged by the grammar alone, and never with a panic. The oracles are too simple to
//! be wrong; what hyper makes of raw bytes is the business of the fuzz target.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that has failed")]

use gateway::auth::authenticate;
use gateway::catalog::Snapshot;
use gateway::refusal::Refusal;
use gateway::request::headers::Headers;
use gateway::request::route::{Resource, Route};
use gateway::request::{key, query};
use http::{HeaderMap, HeaderValue, Method};
use proptest::{collection::vec, option, prelude::*};
use proto::secret::Pepper;

fn is_slug(text: &[u8]) -> bool {
    let word = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    (1..64).contains(&text.len()) && word(&text[0]) && text.iter().all(|byte| word(byte) || *byte == b'-')
}

/// Percent-decoding by hand: `%` and two hex digits are a byte, anything else is itself.
fn decoded(text: &str, plus_is_space: bool) -> Vec<u8> {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let hex = |offset: usize| bytes.get(at + offset).and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[at], hex(1), hex(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) if plus_is_space => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
    out
}

/// Some of the characters written as `%xx`, in either case.
fn encoded() -> impl Strategy<Value = (String, String)> {
    vec(("[a-z0-9-]", 0..3), 1..66).prop_map(|characters| {
        let plain: String = characters.iter().map(|(character, _)| character.as_str()).collect();
        let escaped = characters.iter().map(|(character, how)| match how {
            0 => format!("%{:02x}", character.as_bytes()[0]),
            1 => format!("%{:02X}", character.as_bytes()[0]),
            _ => character.clone(),
        });
        (escaped.collect(), plain)
    })
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        encoded().prop_map(|(escaped, _)| escaped),
        "[a-z0-9-]{0,65}",
        "[a-zA-Z0-9%/.~;=?#é-]{0,12}",
        "[a-z]{1,3}",
        "(/|%2[fF]|[a-z]|%[0-9a-fA-F]{2}|%){0,6}",
        "[a-z](/|%2F|%00|\\.|%)",
        any::<String>(),
    ]
}

fn read(path: &str) -> Option<(String, String)> {
    let route = Route::read(&Method::POST, path);
    // Whatever the path is, another method finds the same route or none.
    match (&route, Route::read(&Method::GET, path)) {
        (Ok(_), Err(Refusal::MethodNotAllowed("POST")))
        | (Err(Refusal::MethodNotAllowed("GET, HEAD")), Ok(_))
        | (Err(Refusal::NotFound), Err(Refusal::NotFound)) => {}
        (post, get) => panic!("{path:?}: POST {post:?}, GET {get:?}"),
    }
    route
        .ok()
        .filter(|route| route.resource == Resource::Deliveries)
        .map(|route| (route.organization.into(), route.playbook.into()))
}

proptest! {
    #[test]
    fn a_path_is_a_route_if_its_segments_are_slugs(organization in segment(), playbook in segment()) {
        let path = format!("/api/webhooks/orgs/{organization}/playbooks/{playbook}");
        let (one, two) = (decoded(&organization, false), decoded(&playbook, false));
        let expected = (is_slug(&one) && is_slug(&two))
            .then(|| (String::from_utf8(one).unwrap(), String::from_utf8(two).unwrap()));
        prop_assert_eq!(read(&path), expected);
    }

    #[test]
    fn a_slug_survives_every_way_to_write_it((escaped, plain) in encoded()) {
        let found = read(&format!("/api/webhooks/orgs/{escaped}/playbooks/{escaped}"));
        prop_assert_eq!(found, is_slug(plain.as_bytes()).then(|| (plain.clone(), plain)));
    }

    /// Nothing before, between or behind; no other spelling of the fixed parts.
    #[test]
    fn any_other_path_is_no_route(at in any::<prop::sample::Index>(), change in 0..3, new: char, anything: String) {
        prop_assert_eq!(read(&anything), None);
        let mut path = "/api/webhooks/orgs/acme/playbooks/deploy".to_owned();
        let at = at.index(path.len());
        match change {
            0 => path.replace_range(at..=at, new.encode_utf8(&mut [0; 4])),
            1 => path.insert(at, new),
            _ => _ = path.remove(at),
        }
        if let Some((organization, playbook)) = read(&path) {
            prop_assert_eq!(path, format!("/api/webhooks/orgs/{organization}/playbooks/{playbook}"));
        }
    }

    #[test]
    fn a_query_names_slugs_once_or_is_refused(
        pairs in vec((
            prop_oneof![Just("project"), Just("template"), Just("utm"), Just("%70roject"), Just("")],
            prop_oneof![4 => "[a-z]{1,3}".prop_map(Some), 1 => option::of(segment())],
        ), 0..5),
    ) {
        // A query has no '#', and these would end a pair.
        prop_assume!(pairs.iter().all(|(_, value)| !value.as_ref().is_some_and(|value| value.contains(['&', '#']))));
        let text: Vec<_> = pairs.iter().map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => (*name).to_owned(),
        }).collect();
        let named = |wanted: &[&str]| -> Vec<Vec<u8>> {
            let values = pairs.iter().filter(|(name, _)| wanted.contains(name));
            values.map(|(_, value)| decoded(value.as_deref().unwrap_or_default(), true)).collect()
        };
        let (projects, templates) = (named(&["project", "%70roject"]), named(&["template"]));
        let fits = |values: &[Vec<u8>]| values.len() < 2 && values.iter().all(|value| is_slug(value));
        let found = query::read(Some(&text.join("&")));
        prop_assert_eq!(found.is_ok(), fits(&projects) && fits(&templates));
        if let Ok(selector) = found {
            let slug = |values: Vec<Vec<u8>>| values.into_iter().next().map(|value| String::from_utf8(value).unwrap());
            prop_assert_eq!(selector.project.map(String::from), slug(projects));
            prop_assert_eq!(selector.template.map(String::from), slug(templates));
        }
    }

    #[test]
    fn any_query_is_judged_without_a_panic(text: String, bytes in "[%&=+a-f0-9projectmla;]{0,60}") {
        _ = query::read(Some(&text));
        _ = query::read(Some(&bytes));
    }

    /// Every value that a header can have, any number of times.
    #[test]
    fn a_key_is_there_once_or_refused(values in vec(header_value(300), 0..3)) {
        let headers: HeaderMap = values.iter().map(|value| ("x-idempotency-key".parse().unwrap(), value.clone())).collect();
        let fits = |value: &HeaderValue| {
            (1..256).contains(&value.len()) && value.as_bytes().iter().all(|byte| (0x21..0x7f).contains(byte))
        };
        match (key::read(Headers::read(&headers).idempotency_key), values.as_slice()) {
            (Ok(key), [value]) => prop_assert!(fits(value) && key.as_str().as_bytes() == value.as_bytes()),
            (Err(Refusal::MissingIdempotencyKey), []) => {}
            (Err(Refusal::InvalidIdempotencyKey), [value]) => prop_assert!(!fits(value)),
            (Err(Refusal::InvalidIdempotencyKey), [_, _, ..]) => {}
            (other, values) => panic!("{values:?}: {other:?}"),
        }
    }

    /// Looked up only if it could be one: nobody learns what exists by sending none, two, or a long one.
    #[test]
    fn a_secret_is_there_once_or_refused(values in vec(header_value(600), 0..3)) {
        let headers: HeaderMap = values.iter().map(|value| ("x-webhook-secret".parse().unwrap(), value.clone())).collect();
        let route = Route::read(&Method::POST, "/api/webhooks/orgs/acme/playbooks/deploy").unwrap();
        let secret = Headers::read(&headers).secret;
        let refusal = authenticate(&Snapshot::default(), &Pepper::new(&[7; 32]).unwrap(), &route, secret).err().unwrap();
        match values.as_slice() {
            [value] if value.len() <= 512 => prop_assert!(matches!(refusal, Refusal::NotFound)),
            _ => prop_assert!(matches!(refusal, Refusal::InvalidSecret)),
        }
    }
}

/// Any bytes that may stand in a header, around the lengths that matter too.
fn header_value(longest: usize) -> impl Strategy<Value = HeaderValue> {
    let byte = prop_oneof![8 => 0x21_u8..0x7f, 1 => Just(b' '), 1 => Just(b'\t'), 1 => 0x80_u8..];
    let visible = |length| vec(0x21_u8..0x7f, length);
    prop_oneof![vec(byte, 0..longest), visible(250..260), visible(508..517), visible(0..3)]
        .prop_map(|bytes| HeaderValue::from_bytes(&bytes).unwrap())
}
