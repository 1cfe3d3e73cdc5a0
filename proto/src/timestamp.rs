//! When a delivery was accepted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Serialize};

/// A moment in whole milliseconds since the Unix epoch. Its text is RFC 3339 in UTC with three decimals and `Z`, and
/// has one form only: a replay's timestamp is byte-equal to the original's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(u64);

/// The text or number is no [`Timestamp`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a timestamp of the years 1970 to 9999, RFC 3339 in UTC with milliseconds and 'Z'")]
pub struct InvalidTimestamp;

const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

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

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let moment: jiff::Timestamp = text.parse().map_err(|_| InvalidTimestamp)?;
        let millis = u64::try_from(moment.as_millisecond()).map_err(|_| InvalidTimestamp)?;
        let timestamp = Self::from_millis(millis)?;
        // One moment, one text: an offset, another precision or lower case would not survive the way back.
        if timestamp.to_string() == text { Ok(timestamp) } else { Err(InvalidTimestamp) }
    }
}

impl TryFrom<String> for Timestamp {
    type Error = InvalidTimestamp;

    fn try_from(text: String) -> Result<Self, InvalidTimestamp> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.to_string()
    }
}
