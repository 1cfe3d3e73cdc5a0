//! Envelopes that somebody has worked on: parts cut, doubled, moved, nested and made huge. What the decoder still
//! accepts is what its ids say; what it refuses it quotes nowhere; and nothing takes it to the end of its stack.

use proptest::{collection::vec, prelude::*, sample::Index};
use proto::envelope::{self, DecodeError};

use crate::envelope::refused_or_consistent;
use crate::strategies::parts;

/// What JSON is made of, and what parsers have stumbled over.
const TOKENS: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "null",
    "true",
    "0",
    "-0",
    "1e400",
    "-1e-400",
    "18446744073709551616",
    "99999999999999999999999999999999999999.9e99999",
    "\"\\ud800\"",
    "\u{feff}",
    "\u{0}",
    "\"v\":1,",
    "\"v\":2,",
    "\"deliveries\":[],",
    "\"payload\":{},",
    "\"runId\":\"\",",
];

/// One change to a text: where, up to where, and what.
#[derive(Clone, Debug)]
enum Change {
    Insert(Index, usize),
    Remove(Index, Index),
    Repeat(Index, Index),
    Move(Index, Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), 0..TOKENS.len()).prop_map(|(at, token)| Change::Insert(at, token)),
        (at(), at()).prop_map(|(from, to)| Change::Remove(from, to)),
        (at(), at()).prop_map(|(from, to)| Change::Repeat(from, to)),
        (at(), at(), at()).prop_map(|(from, to, behind)| Change::Move(from, to, behind)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    // Up to three dozen bytes, about a member: longer cuts leave nothing that still looks like an envelope.
    let range = |from: &Index, to: &Index, length: usize| {
        let from = from.index(length);
        from..from + to.index((length - from).min(36)) + 1
    };
    let length = bytes.len();
    match change {
        _ if length == 0 => {}
        Change::Insert(at, token) => {
            let at = at.index(length);
            bytes.splice(at..at, TOKENS[*token].bytes());
        }
        Change::Remove(from, to) => _ = bytes.drain(range(from, to, length)),
        Change::Repeat(from, to) => {
            let part = bytes[range(from, to, length)].to_vec();
            let at = from.index(length);
            bytes.splice(at..at, part);
        }
        Change::Move(from, to, behind) => {
            let part: Vec<u8> = bytes.drain(range(from, to, length)).collect();
            let at = behind.index(bytes.len() + 1);
            bytes.splice(at..at, part);
        }
    }
}

fn message(parts: &[crate::strategies::Parts]) -> String {
    let encoded: Vec<_> = parts.iter().map(|parts| parts.delivery().encode()).collect();
    String::from_utf8(envelope::encode(encoded.iter()).to_vec()).unwrap()
}

/// Where the values of this text's own members begin, the payload's inner ones left out.
fn values(text: &str) -> Vec<(usize, &str)> {
    let names = [
        "v",
        "deliveries",
        "runId",
        "organizationId",
        "playbookId",
        "projectId",
        "templateId",
        "target",
        "idempotencyKey",
        "fingerprint",
        "acceptedAt",
        "payload",
    ];
    let of = |name: &'static str| text.find(&format!("\"{name}\":")).map(|at| (at + name.len() + 3, name));
    names.into_iter().filter_map(of).collect()
}

proptest! {
    #[test]
    fn what_is_mangled_is_refused_or_consistent(parts in vec(parts(), 1..3), changes in vec(change(), 1..6)) {
        let mut bytes = message(&parts).into_bytes();
        for change in &changes {
            apply(&mut bytes, change);
            refused_or_consistent(&bytes);
        }
    }

    /// Two values for one name: whichever a reader took, another could take the other.
    #[test]
    fn a_member_that_stands_twice_is_refused(parts in parts()) {
        let text = message(std::slice::from_ref(&parts));
        for (at, name) in values(&text) {
            let mut doubled = text.clone();
            let value = if name == "deliveries" { "[]".to_owned() } else if name == "v" { "1".to_owned() } else {
                // Its own value once more; a string has no quote inside but in the key, where any string will do.
                match text.as_bytes()[at] { b'"' => "\"k\"".to_owned(), _ => "{}".to_owned() }
            };
            doubled.insert_str(at - name.len() - 3, &format!("\"{name}\":{value},"));
            let error = envelope::decode(doubled.as_bytes()).unwrap_err();
            prop_assert!(matches!(error, DecodeError::Malformed(_)), "{name}: {error}");
        }
    }
}

/// A value of another kind, out of range, or nested a million deep, in place of each member's: an error, in a debug
/// build's small frames or a release build's large ones alike, and never the end of the stack.
#[test]
fn no_value_is_too_odd_to_be_refused() {
    let parts = crate::envelope::small();
    let text = std::str::from_utf8(&parts).unwrap();
    let deep = [("[", 1_000_000), ("{\"a\":", 500_000), ("[[],", 300_000)].map(|(open, times)| open.repeat(times));
    let closed = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    let long = format!("\"{}\"", "x".repeat(1_000_000));
    let digits = "9".repeat(100_000);
    let mut odd = vec!["null", "true", "-1", "1.5", "1e999999999", "18446744073709551616", "\"\"", "[]", "{\"a\":1}"];
    odd.extend(deep.iter().map(String::as_str));
    odd.extend([closed.as_str(), long.as_str(), digits.as_str()]);
    for (at, name) in values(text) {
        for value in &odd {
            let altered = format!("{}{value},\"x\":{}", &text[..at], &text[at..]);
            assert!(refused_or_consistent(altered.as_bytes()), "{name}: {value:.40}");
        }
    }
    // Where a member is not known it is passed over, however deep.
    let altered = text.replacen("{\"v\"", &format!("{{\"new\":{closed},\"v\""), 1);
    assert!(!refused_or_consistent(altered.as_bytes()));
    let newer = format!("{{\"v\":2,\"deliveries\":{closed}}}");
    assert!(matches!(envelope::decode(newer.as_bytes()), Err(DecodeError::UnsupportedVersion(2))));
}
