//! Slugs, keys and timestamps against oracles that are too simple to be wrong.

use proptest::prelude::*;
use proto::{IdempotencyKey, Slug, Timestamp};

use crate::strategies::LAST_MILLIS;

fn is_slug(text: &str) -> bool {
    const FIRST: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
    let characters: Vec<char> = text.chars().collect();
    (1..=63).contains(&characters.len())
        && FIRST.contains(characters[0])
        && characters.iter().all(|character| FIRST.contains(*character) || *character == '-')
}

fn is_key(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.len() < 256 && bytes.iter().all(|byte| *byte > b' ' && *byte < 0x7f)
}

/// Counts the days year by year and month by month.
fn show(millis: u64) -> String {
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut days, mut year, mut month) = (millis / 86_400_000, 1970, 0);
    while days >= if is_leap(year) { 366 } else { 365 } {
        days -= if is_leap(year) { 366 } else { 365 };
        year += 1;
    }
    let months = [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while days >= months[month] {
        days -= months[month];
        month += 1;
    }
    let (hour, minute, second) = (millis / 3_600_000 % 24, millis / 60_000 % 60, millis / 1000 % 60);
    format!("{year:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", month + 1, days + 1, millis % 1000)
}

/// The text is right if some moment shows as it: within a day there are few enough to try the one it must be.
fn read(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse::<u64>().ok() } else { None }
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let in_day = ((number(11, 13)? * 60 + number(14, 16)?) * 60 + number(17, 19)?) * 1000 + number(20, 23)?;
    // A year has at most 366 days, so the day is among these.
    let first = year.checked_sub(1970)? * 365;
    let guess = first + month.saturating_sub(1) * 28 + day.saturating_sub(1);
    (guess..guess + 2100)
        .map(|day| day * 86_400_000 + in_day)
        .find(|millis| *millis <= LAST_MILLIS && show(*millis) == text)
}

proptest! {
    #[test]
    fn a_slug_is_a_slug(text in prop_oneof!["[a-z0-9-]{0,66}", "[a-zA-Z0-9_.~%/ é-]{0,8}", any::<String>()]) {
        assert_eq!(text.parse::<Slug>().is_ok(), is_slug(&text));
        assert_eq!(Slug::try_from(text.clone()).is_ok(), is_slug(&text));
        if let Ok(slug) = text.parse::<Slug>() {
            assert_eq!(slug.as_str(), text);
            assert_eq!(slug.to_string(), text);
        }
    }

    #[test]
    fn a_key_is_a_key(bytes in prop_oneof![
        proptest::collection::vec(0x21_u8..=0x7e, 0..260),
        proptest::collection::vec(any::<u8>(), 0..6),
        any::<String>().prop_map(String::into_bytes),
    ]) {
        let key = IdempotencyKey::from_bytes(&bytes);
        assert_eq!(key.is_ok(), is_key(&bytes));
        if let Ok(key) = key {
            assert_eq!(key.as_str().as_bytes(), bytes);
        }
    }

    #[test]
    fn a_timestamp_has_one_text(millis in 0..=LAST_MILLIS) {
        let timestamp = Timestamp::from_millis(millis).unwrap();
        assert_eq!(timestamp.to_string(), show(millis));
        assert_eq!(show(millis).parse(), Ok(timestamp));
        // In the same second, of which the text is kept.
        for other in [0, 7, 89, 500, 999].map(|part| (millis / 1000 * 1000 + part).min(LAST_MILLIS)) {
            assert_eq!(Timestamp::from_millis(other).unwrap().to_string(), show(other));
        }
    }

    /// One character changed, added or removed.
    #[test]
    fn any_other_text_is_none(millis in 0..=LAST_MILLIS, at in 0_usize..24, change in 0..3, new in "[0-9TtZz+:. -]") {
        let mut text = show(millis);
        match change {
            0 => text.replace_range(at..=at, &new),
            1 => text.insert_str(at, &new),
            _ => text.replace_range(at..=at, ""),
        }
        assert_eq!(text.parse::<Timestamp>().map(|timestamp| timestamp.as_millis()).ok(), read(&text), "{text}");
    }
}

#[test]
fn every_byte_alone_is_a_key_or_not() {
    for byte in 0..=u8::MAX {
        assert_eq!(IdempotencyKey::from_bytes(&[byte]).is_ok(), is_key(&[byte]), "{byte:#x}");
        assert_eq!(IdempotencyKey::from_bytes(&[b'a', byte, b'a']).is_ok(), is_key(&[byte]), "{byte:#x}");
        let text = String::from(char::from(byte));
        assert_eq!(text.parse::<Slug>().is_ok(), is_slug(&text), "{byte:#x}");
        let text = format!("a{text}");
        assert_eq!(text.parse::<Slug>().is_ok(), is_slug(&text), "a{byte:#x}");
    }
}

#[test]
fn lengths_end_where_they_should() {
    assert!("a".repeat(63).parse::<Slug>().is_ok());
    assert!("a".repeat(64).parse::<Slug>().is_err());
    assert!(IdempotencyKey::from_bytes(&[b'k'; 255]).is_ok());
    assert!(IdempotencyKey::from_bytes(&[b'k'; 256]).is_err());
}

#[test]
fn a_timestamp_has_a_first_and_a_last_moment() {
    assert_eq!(Timestamp::from_millis(0).unwrap().to_string(), "1970-01-01T00:00:00.000Z");
    assert_eq!(Timestamp::from_millis(LAST_MILLIS).unwrap().to_string(), "9999-12-30T21:59:59.999Z");
    assert!(Timestamp::from_millis(LAST_MILLIS + 1).is_err());
    let refused = [
        "1969-12-31T23:59:59.999Z",
        "9999-12-30T22:00:00.000Z",
        "9999-12-31T23:59:59.999Z",
        "+10000-01-01T00:00:00.000Z",
        "2026-02-29T00:00:00.000Z",
        "2016-12-31T23:59:60.000Z",
        "2026-01-01T24:00:00.000Z",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.000000Z",
        "2026-01-01T00:00:00.000+00:00",
        "2026-01-01T00:00:00.000Z[UTC]",
        "2026-01-01t00:00:00.000z",
        "2026-01-01 00:00:00.000Z",
        " 2026-01-01T00:00:00.000Z",
        "2026-01-01T00:00:00.000",
        "",
    ];
    for text in refused {
        assert!(text.parse::<Timestamp>().is_err(), "{text}");
    }
}
