//! Requests that strangers have open over HTTP/2. A connection may have a hundred, each costs some KiB for as long as its
//! answer is not taken, and a peer need take none: so there is a bound on those of all strangers together. One more is
//! refused at once, unless a right secret comes with it; and where that does not help, those go who have the most.
//!
//! The first of each connection is left out: it costs no more than a request over HTTP/1, of which there is one at a time.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

/// A look through all connections makes room for this share of all that there may be, beyond what is too much.
const SHARE: usize = 16;

/// Those of all strangers.
pub(crate) struct Strangers {
    limit: usize,
    /// Below zero for a moment, where an end is counted before its begin.
    open: AtomicIsize,
}

/// Those of one connection, and whether it is a stranger's. One number, so that whatever comes together, all that is
/// counted is given back.
pub(crate) struct Streams {
    strangers: Arc<Strangers>,
    state: AtomicUsize,
}

/// In [`Streams::state`]: a secret was right.
const KNOWN: usize = 1;
/// In [`Streams::state`]: a request is open.
const ONE: usize = 2;

impl Strangers {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, open: AtomicIsize::new(0) })
    }

    /// How many should end.
    pub(super) fn excess(&self) -> usize {
        self.open().saturating_sub(self.limit) + self.limit.div_ceil(SHARE)
    }

    /// Those that count.
    fn open(&self) -> usize {
        usize::try_from(self.open.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

impl Streams {
    pub(super) fn new(strangers: Arc<Strangers>) -> Self {
        Self { strangers, state: AtomicUsize::new(0) }
    }

    pub(crate) fn begin(&self) {
        let before = self.state.fetch_add(ONE, Ordering::Relaxed);
        self.changed(before, before + ONE);
    }

    pub(crate) fn end(&self) {
        let before = self.state.fetch_sub(ONE, Ordering::Relaxed);
        self.changed(before, before - ONE);
    }

    /// They are a stranger's no more.
    pub(crate) fn know(&self) {
        // Once is enough: a write takes the cache line from the other streams' threads.
        if !self.known() {
            let before = self.state.fetch_or(KNOWN, Ordering::Relaxed);
            self.changed(before, before | KNOWN);
        }
    }

    pub(crate) fn known(&self) -> bool {
        self.state.load(Ordering::Relaxed) & KNOWN != 0
    }

    /// How many of them count.
    pub(crate) fn counted(&self) -> usize {
        counted(self.state.load(Ordering::Relaxed))
    }

    /// Some of them count, and strangers have too many.
    pub(crate) fn crowded(&self) -> bool {
        self.counted() > 0 && self.strangers.open() > self.strangers.limit
    }

    fn changed(&self, before: usize, after: usize) {
        let (before, after) = (counted(before), counted(after));
        match after.checked_sub(before) {
            Some(0) => {}
            Some(more) => _ = self.strangers.open.fetch_add(more.cast_signed(), Ordering::Relaxed),
            None => _ = self.strangers.open.fetch_sub((before - after).cast_signed(), Ordering::Relaxed),
        }
    }
}

fn counted(state: usize) -> usize {
    if state & KNOWN == 0 { (state / ONE).saturating_sub(1) } else { 0 }
}

/// Whose connections are to end so that so many requests less are open: of those who have the most.
pub(super) fn victims<T>(mut candidates: Vec<(usize, T)>, enough: usize) -> impl Iterator<Item = T> {
    candidates.sort_unstable_by_key(|(open, _)| Reverse(*open));
    let mut freed = 0;
    let needed = move |(open, _): &(usize, T)| {
        let needed = freed < enough;
        freed += open;
        needed
    };
    candidates.into_iter().take_while(needed).map(|(_, who)| who)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_have_the_most_go_until_it_is_enough() {
        let chosen = |enough| victims(vec![(1, "a"), (99, "b"), (2, "c"), (50, "d")], enough).collect::<String>();
        assert_eq!([0, 1, 99, 100, 150, 1000].map(chosen), ["", "b", "b", "bd", "bdc", "bdca"]);
    }

    #[test]
    fn all_that_is_counted_is_given_back() {
        let strangers = Strangers::new(2);
        let [one, other] = [(); 2].map(|()| Streams::new(Arc::clone(&strangers)));
        let open = |streams: &Streams, more: usize| (0..more).for_each(|_| streams.begin());
        open(&one, 1);
        open(&other, 3);
        assert_eq!((strangers.open(), one.counted(), other.counted()), (2, 0, 2));
        assert!(!other.crowded());
        open(&other, 1);
        // The first of a connection is never one too many.
        assert_eq!((one.crowded(), other.crowded()), (false, true));
        other.know();
        open(&other, 1);
        assert_eq!((strangers.open(), other.crowded()), (0, false));
        open(&one, 1);
        assert_eq!(strangers.open(), 1);
        (0..2).for_each(|_| one.end());
        (0..5).for_each(|_| other.end());
        assert_eq!((strangers.open(), one.counted(), other.counted()), (0, 0, 0));
    }
}
