//! What is worth a line of the log.

use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tells what is new from what was said before: an outage fails each attempt to connect in the same words, for hours.
#[derive(Default)]
pub struct News(Mutex<String>);

impl News {
    /// True if it is not what was said last.
    pub fn is_new(&self, text: &impl Display) -> bool {
        let (text, mut last) = (text.to_string(), self.last());
        let new = *last != text;
        *last = text;
        new
    }

    /// All is well: whatever comes next is new.
    pub fn over(&self) {
        self.last().clear();
    }

    fn last(&self) -> MutexGuard<'_, String> {
        // Never left half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::News;

    #[test]
    fn what_is_said_again_is_no_news() {
        let news = News::default();
        let said = ["refused", "refused", "timed out", "refused"].map(|text| news.is_new(&text));
        assert_eq!(said, [true, false, true, true]);
        news.over();
        assert!(news.is_new(&"refused"));
    }
}
