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

    /// How many sequences there are in it.
    pub(super) fn count(&self) -> i64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Those that are not in the other.
    pub(super) fn without(&self, other: &Self) -> Self {
        let (mut rest, mut others) = (Self::default(), other.0.as_slice());
        for (first, last) in self.iter() {
            let mut from = first;
            while let [(begin, end), after @ ..] = others
                && *begin <= last
            {
                if from < *begin {
                    rest.push(from, begin - 1);
                }
                from = from.max(end + 1);
                if *end > last {
                    break;
                }
                others = after;
            }
            if from <= last {
                rest.push(from, last);
            }
        }
        rest
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_one_and_not_in_the_other() {
        let ranges = |text: &str| text.parse::<Ranges>().unwrap_or_else(|error| panic!("{error}: {text}"));
        for (one, other, rest) in [
            ("3-5", "4", "3, 5"),
            ("3-5000", "3-5", "6-5000"),
            ("3-5", "1-9", ""),
            ("1-9", "1, 3-4, 9", "2, 5-8"),
            ("1-2, 5-6, 8", "2-5", "1, 6, 8"),
            ("1, 3, 5", "2, 4, 6", "1, 3, 5"),
            ("4-6", "1-2, 9", "4-6"),
            ("1-3, 5-7, 9-11", "2-9", "1, 10-11"),
        ] {
            assert_eq!(ranges(one).without(&ranges(other)).to_string(), rest, "{one} without {other}");
        }
        assert_eq!(ranges("1-3").without(&Ranges::default()), ranges("1-3"));
    }
}
