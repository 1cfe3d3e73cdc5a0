//! A verdict, for people.

use std::collections::BTreeMap;
use std::fmt;

use crate::verdict::{Figures, Invariant, Verdict};

/// Most violations that are shown; the first ones say what is wrong.
const SHOWN: usize = 20;

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.figures)?;
        for invariant in Invariant::ALL {
            let holds = match self.count(invariant) {
                0 => "holds".to_owned(),
                count => format!("VIOLATED {count} times"),
            };
            writeln!(f, "  {:<9} {:<40} {holds}", invariant.to_string(), invariant.means())?;
        }
        for violation in self.violations.iter().take(SHOWN) {
            writeln!(f, "  ! {violation}")?;
        }
        if self.violations.len() > SHOWN {
            writeln!(f, "  ! and {} more", self.violations.len() - SHOWN)?;
        }
        let verdict = if self.is_clean() { "nothing lost, nothing doubled" } else { "VIOLATED" };
        write!(f, "verdict: {verdict}")
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deliveries, keys, requests, retried, accepted, accepted_answers, rows, lost, doubled, .. } = self;
        writeln!(
            f,
            "  sent      {deliveries} deliveries under {keys} keys, in {requests} requests; {retried} had to be retried"
        )?;
        writeln!(f, "  answered  {}", counts(&self.answered))?;
        let letters = if self.dead_letters.is_empty() { "none".to_owned() } else { counts(&self.dead_letters) };
        writeln!(
            f,
            "  became    {rows} runs; dead letters: {letters}; {} duplicates dropped",
            self.duplicates_dropped
        )?;
        writeln!(f, "  of {accepted} deliveries accepted: lost {lost}, doubled {doubled}")?;
        // Whoever reads "lost 0" must see what it leaves out.
        write!(
            f,
            "  excused   gone with a stream that was lost: {}; accepted beside another under their key: {}; \
             of {accepted_answers} checks {} deferred for no known reason",
            self.gone_with_the_stream, self.conflicts_accepted, self.deferred_unexplained
        )
    }
}

fn counts(counts: &BTreeMap<String, usize>) -> String {
    counts.iter().map(|(name, count)| format!("{name} × {count}")).collect::<Vec<_>>().join(", ")
}
