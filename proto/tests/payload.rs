//! What is a body, and what is not. Whatever is accepted here a Postgres `json` column must hold, byte for byte.

use proptest::{collection::vec, prelude::*};
use proto::{InvalidPayload, MAX_NESTING, Payload};

fn parse(body: &[u8]) -> Result<&str, InvalidPayload> {
    Payload::parse(body).map(|payload| payload.as_str())
}

macro_rules! assert_refused {
    ($body:expr, $reason:pat) => {
        let body = $body;
        let body: &[u8] = body.as_ref();
        let result = parse(body);
        assert!(matches!(result, Err($reason)), "{:?}: {result:?}", String::from_utf8_lossy(body));
    };
}

#[test]
fn an_empty_body_is_refused() {
    assert_refused!("", InvalidPayload::Empty);
    assert_refused!(" \t\r\n ", InvalidPayload::Empty);
}

#[test]
fn a_byte_order_mark_is_refused() {
    assert_refused!("\u{feff}{}", InvalidPayload::ByteOrderMark);
    assert_refused!("\u{feff}", InvalidPayload::ByteOrderMark);
    assert_refused!(" \u{feff}{}", InvalidPayload::NotAnObject);
}

#[test]
fn what_is_not_utf_8_is_refused_with_the_place() {
    assert_refused!(b"{\"a\":\"\xff\"}", InvalidPayload::NotUtf8(6));
    assert_refused!(b"\xfe\xff\0{\0}", InvalidPayload::NotUtf8(0));
    assert_refused!(b"{\"a\":\"\xc3", InvalidPayload::NotUtf8(6));
    // An encoded surrogate, and a slash in two bytes.
    assert_refused!(b"{\"\xed\xa0\x80\":1}", InvalidPayload::NotUtf8(2));
    assert_refused!(b"{\"\xc0\xaf\":1}", InvalidPayload::NotUtf8(2));
}

#[test]
fn what_is_not_one_object_is_refused() {
    for body in ["[]", "[{}]", "1", "\"{}\"", "null", "true", "a", "}", "\u{a0}{}", "\u{b}{}", "\u{2028}{}", "\0{}"] {
        assert_refused!(body, InvalidPayload::NotAnObject);
    }
}

#[test]
fn what_is_not_json_is_refused() {
    let bodies = [
        "{",
        "{}}",
        "{}{}",
        "{} {}",
        "{}x",
        "{}\u{a0}",
        "{},",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":1.}",
        "{\"a\":NaN}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\0\"}",
        "{\"a\":\"",
        "{\"a\":1 /* */}",
        "{\"a\":[}",
        "{\"a\":tru}",
        "{\u{b}}",
        "{\"a\":-}",
    ];
    for body in bodies {
        assert_refused!(body, InvalidPayload::Syntax(_));
    }
}

#[test]
fn whitespace_around_it_is_no_part_of_it() {
    assert_eq!(parse(b" \t\r\n{ \"a\" : 1 }\n\r\t ").unwrap(), "{ \"a\" : 1 }");
    assert_eq!(parse("{\"a\":\"\u{a0}\"}\n".as_bytes()).unwrap(), "{\"a\":\"\u{a0}\"}");
}

#[test]
fn what_other_parsers_would_alter_is_kept() {
    let bodies = [
        "{\"a\":1,\"a\":2}",
        "{\"n\":1e999999,\"m\":-0,\"k\":0.10000000000000000000000000000001}",
        "{\"a\":\"\\u0000\\ud800\\udc00\\udfff\\/\"}",
        "{\"\":\"\u{fffd}\u{10ffff}\u{feff}\u{7f}\"}",
    ];
    for body in bodies {
        assert_eq!(parse(body.as_bytes()).unwrap(), body);
    }
}

#[test]
fn nesting_has_a_limit_that_counts_the_outermost_object() {
    let arrays = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    let objects = |depth: usize| format!("{}{{}}{}", "{\"a\":".repeat(depth - 1), "}".repeat(depth - 1));
    for nested in [arrays, objects] {
        assert!(parse(nested(MAX_NESTING).as_bytes()).is_ok());
        assert_refused!(nested(MAX_NESTING + 1), InvalidPayload::TooDeep);
        // Far beyond any stack.
        assert_refused!(nested(100_000), InvalidPayload::TooDeep);
    }
    assert_eq!(MAX_NESTING, 128);
    // Side by side is not deep.
    assert!(parse(format!("{{\"a\":[{}{{}}]}}", "{},[],".repeat(1000)).as_bytes()).is_ok());
}

#[test]
fn brackets_in_a_string_are_no_nesting() {
    let brackets = "[{".repeat(200);
    for text in [brackets.clone(), format!("\\\"{brackets}"), format!("\\\\\\\"{brackets}"), format!("{brackets}\\\\")]
    {
        let body = format!("{{\"{text}\":\"{text}\"}}");
        assert_eq!(parse(body.as_bytes()).unwrap(), body);
    }
    // And a string that ends in an escaped backslash has ended.
    let body = format!("{{\"\\\\\":{}{}}}", "[".repeat(128), "]".repeat(128));
    assert_refused!(body, InvalidPayload::TooDeep);
}

/// Its own `Debug` too: a delivery is easily logged by somebody in a hurry (I7).
#[test]
fn nothing_that_is_shown_quotes_the_body() {
    let bodies = [
        "\"CANARY\"",
        "{\"CANARY\":}",
        "{CANARY}",
        "{\"a\":CANARY}",
        "{\"CANARY\":1 CANARY",
        "{} CANARY",
        "{\"a\":\"CANARY\\q\"}",
        "\u{feff}CANARY",
    ];
    for body in bodies {
        let error = parse(body.as_bytes()).expect_err(body);
        assert!(!format!("{error} {error:?}").contains("CANARY"), "{error:?}");
    }
    let error = parse(b"{\"CANARY\":\"\xff\"}").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("CANARY"), "{error:?}");
    assert!(!format!("{:?}", Payload::parse(b"{\"CANARY\":1}").unwrap()).contains("CANARY"));
}

proptest! {
    #[test]
    fn every_object_is_kept_byte_for_byte(
        object in crate::strategies::object(), before in "[ \t\r\n]{0,4}", after in "[ \t\r\n]{0,4}",
    ) {
        let body = format!("{before}{object}{after}");
        assert_eq!(parse(body.as_bytes()).unwrap(), object);
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        _ = parse(&bytes);
        _ = parse(&[b"{\"a\":", &bytes[..], b"}"].concat());
    }

    /// serde_json's full parser is the judge of the grammar, where it goes that far.
    #[test]
    fn what_is_accepted_is_json(text in "[{}\\[\\]\":,0-9eE.+\\\\utrfalsn -]{0,30}") {
        let body = format!("{{\"a\":{text}}}");
        if serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&body).is_ok() {
            assert_eq!(parse(body.as_bytes()).unwrap(), body);
        } else if let Ok(accepted) = parse(body.as_bytes()) {
            // It refuses numbers out of a double's range and lone surrogates, which are JSON.
            assert!(accepted.contains(['e', 'E']) || accepted.contains("\\u"), "{accepted}");
        }
    }
}
