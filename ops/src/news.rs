//! What is worth a line of the log.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After this long the same is worth a line again: it may be another fault that says so in the same words.
const AGE: Duration = Duration::from_secs(60);
/// Texts that are kept. Where more come, all are new again.
const MOST: usize = 32;

/// Tells what is new from what has just been said: an outage fails each attempt to connect in the same few words, for hours.
#[derive(Default)]
pub struct News(Mutex<HashMap<String, Instant>>);

impl News {
    /// True if it was not said within the last minute.
    pub fn is_new(&self, text: &impl Display) -> bool {
        self.is_new_at(text.to_string(), Instant::now())
    }

    /// All is well: whatever comes next is new.
    pub fn over(&self) {
        self.said().clear();
    }

    fn is_new_at(&self, text: String, now: Instant) -> bool {
        let mut said = self.said();
        if said.get(&text).is_some_and(|then| now.duration_since(*then) < AGE) {
            return false;
        }
        if said.len() >= MOST {
            said.clear();
        }
        said.insert(text, now);
        true
    }

    fn said(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        // Never left half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_again_is_no_news() {
        let (news, begin) = (News::default(), Instant::now());
        let said = |text: &str, second| news.is_new_at(text.to_owned(), begin + Duration::from_secs(second));
        // Of several servers each may fail in its own words, in turn.
        assert_eq!([said("refused", 0), said("timed out", 1)], [true; 2]);
        assert_eq!([said("refused", 2), said("timed out", 3), said("refused", 59)], [false; 3]);
        assert_eq!([said("refused", 60), said("timed out", 60), said("timed out", 61)], [true, false, true]);
        news.over();
        assert!(said("refused", 62));
        (0..MOST).for_each(|text| assert!(said(&text.to_string(), 62)));
        assert!(news.said().len() <= MOST);
    }
}
