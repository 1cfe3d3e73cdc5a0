//! Sets of stream sequences, as people write them: `3-5, 9`.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// First and last of each run of neighbours, in order.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    /// Adds sequences that are higher than all so far.
    pub(super) fn push(&mut self, first: i64, last: i64) {
        match self.0.last_mut() {
            Some(before) if before.1 + 1 == first => before.1 = last,
            _ => self.0.push((first, last)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The highest.
    pub(super) fn last(&self) -> Option<i64> {
        self.0.last().map(|(_, last)| *last)
    }

    /// How many sequences there are in it.
    pub(super) fn count(&self) -> i64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, i64)> {
        self.0.iter().copied()
    }

    /// As parameters for Postgres: all firsts, all lasts.
    pub(super) fn columns(&self) -> (Vec<i64>, Vec<i64>) {
        self.0.iter().copied().unzip()
    }
}

impl FromIterator<(i64, i64)> for Ranges {
    fn from_iter<I: IntoIterator<Item = (i64, i64)>>(ranges: I) -> Self {
        let mut all = Self::default();
        ranges.into_iter().for_each(|(first, last)| all.push(first, last));
        all
    }
}

impl fmt::Display for Ranges {
    /// The first hundred: a line is to be read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 100;
        for (index, (first, last)) in self.iter().take(MOST).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            if first == last { write!(f, "{comma}{first}")? } else { write!(f, "{comma}{first}-{last}")? }
        }
        if self.0.len() > MOST { write!(f, " and {} more ranges", self.0.len() - MOST) } else { Ok(()) }
    }
}

impl FromStr for Ranges {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let wrong = "expected sequences in ascending order, such as 3-5,9";
        let mut all = Self::default();
        for part in text.split(',').map(str::trim) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (i64, i64) = (first.parse().map_err(|_| wrong)?, last.parse().map_err(|_| wrong)?);
            let after = all.0.last().map_or(0, |before| before.1);
            if first <= after || last < first || last == i64::MAX {
                return Err(wrong);
            }
            all.push(first, last);
        }
        Ok(all)
    }
}

/// `[[3,5],[9,9]]`.
impl Serialize for Ranges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
