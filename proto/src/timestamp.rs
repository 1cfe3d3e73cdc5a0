//! When a delivery was accepted.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Deserializer, Serialize};

use crate::text;

/// A moment in whole milliseconds since the Unix epoch. Its text is RFC 3339 in UTC with three decimals and `Z`, and
/// has one form only: a replay's timestamp is byte-equal to the original's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(into = "String")]
pub struct Timestamp(u64);

/// The text or number is no [`Timestamp`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a timestamp of the years 1970 to 9999, RFC 3339 in UTC with milliseconds and 'Z'")]
pub struct InvalidTimestamp;

const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

thread_local! {
    /// The second that was printed last: a busy gateway prints the same one tens of thousands of times, and its calendar takes
    /// ten times as long as its milliseconds.
    static LAST: Cell<(Option<u64>, [u8; Timestamp::LEN])> = const { Cell::new((None, [0; Timestamp::LEN])) };
}

impl Timestamp {
    /// Length of its text.
    pub const LEN: usize = "1970-01-01T00:00:00.000Z".len();

    /// 9999-12-30T21:59:59.999Z: a day short of the last year with four digits, because that is as far as jiff goes,
    /// and a moment that cannot be shown must not be a timestamp.
    const MAX_MILLIS: u64 = 253_402_207_199_999;

    /// Now, cut to milliseconds; a clock set before 1970 reads 1970.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(Self::MAX_MILLIS).min(Self::MAX_MILLIS))
    }

    /// From milliseconds since the Unix epoch.
    pub fn from_millis(millis: u64) -> Result<Self, InvalidTimestamp> {
        if millis <= Self::MAX_MILLIS { Ok(Self(millis)) } else { Err(InvalidTimestamp) }
    }

    /// Its text, without an allocation.
    pub fn text(&self) -> [u8; Self::LEN] {
        let second = self.0 / 1000;
        let (last, mut text) = LAST.get();
        if last != Some(second) {
            text = Self(second * 1000).print();
            LAST.set((Some(second), text));
        }
        let millis = (self.0 % 1000) as u16;
        for (place, unit) in [(20, 100), (21, 10), (22, 1)] {
            text[place] = b'0' + (millis / unit % 10) as u8;
        }
        text
    }

    fn print(&self) -> [u8; Self::LEN] {
        let mut text = [0; Self::LEN];
        let millis = i64::try_from(self.0).unwrap_or_default();
        let moment = jiff::Timestamp::from_millisecond(millis).expect("no timestamp is beyond jiff's last moment");
        let printed = PRINTER.print_timestamp(&moment, jiff::fmt::StdIoWrite(&mut text[..]));
        printed.expect("a year of four digits makes a text of this length");
        text
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(&self) -> u64 {
        self.0
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(timestamp.0)
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).map_err(|_| std::fmt::Error)?)
    }
}

impl std::str::FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// One moment, one text: an offset, another precision or lower case would not survive the way back. So it is read by its
    /// places, which takes a tenth of the time of a parser of all forms, and a worker reads one for each delivery.
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let text: &[u8; 24] = text.as_bytes().try_into().map_err(|_| InvalidTimestamp)?;
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')];
        if marks.iter().any(|(place, mark)| text[*place] != *mark) {
            return Err(InvalidTimestamp);
        }
        let [year, month, day] = [number(&text[..4])?, number(&text[5..7])?, number(&text[8..10])?];
        let [hour, minute, second] = [number(&text[11..13])?, number(&text[14..16])?, number(&text[17..19])?];
        let is_date = year >= 1970 && (1..=12).contains(&month) && (1..=days(year, month)).contains(&day);
        if !is_date || hour > 23 || minute > 59 || second > 59 {
            return Err(InvalidTimestamp);
        }
        let before = (1..month).map(|month| days(year, month)).sum::<u64>() + day - 1;
        let hours = (days_before(year) - days_before(1970) + before) * 24 + hour;
        Self::from_millis(((hours * 60 + minute) * 60 + second) * 1000 + number(&text[20..23])?)
    }
}

fn number(digits: &[u8]) -> Result<u64, InvalidTimestamp> {
    digits.iter().try_fold(0, |number, digit| match digit {
        b'0'..=b'9' => Ok(number * 10 + u64::from(digit - b'0')),
        _ => Err(InvalidTimestamp),
    })
}

/// From the beginning of year 1 to that of this one, in the Gregorian calendar.
const fn days_before(year: u64) -> u64 {
    let past = year - 1;
    past * 365 + past / 4 - past / 100 + past / 400
}

/// Of a month, from 1.
const fn days(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + days_before(year + 1) - days_before(year) - 365,
        _ => 31,
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.to_string()
    }
}
