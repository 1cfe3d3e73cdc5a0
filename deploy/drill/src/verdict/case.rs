//! One key: all that was sent under it, all that is there of it.
//!
//! What the rules on conflicts rest on: a 2xx without `deferred` says that at some moment of its request Redis held
//! the claim with that delivery's fingerprint. Claims change their fingerprint only where Redis forgets: by a new claim
//! then, or by the mark of a delivery that had claimed before.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::{Fingerprint, Payload, PlaybookId, Selector, Timestamp};
use uuid::Uuid;

use super::{Invariant, Verdict, violation};
use crate::book::{Answer, Attempt, Event, Key, Record, Sent, What};
use crate::catalog::Place;
use crate::found::{Letter, Row};

/// How far the clock that dates deliveries may be from the book's.
const SKEW: Duration = Duration::from_secs(1);

pub(super) struct Case<'a> {
    pub(super) record: &'a Record,
    pub(super) places: &'a [Place],
    pub(super) key: &'a Key,
    pub(super) sents: &'a [Sent],
    pub(super) rows: Vec<&'a Row>,
    pub(super) letters: Vec<&'a Letter>,
}

impl Case<'_> {
    pub(super) fn judge(&self, verdict: &mut Verdict) {
        let mut say = |invariant, text: String| verdict.violations.push(violation(invariant, Some(self.key), text));
        self.one_row(&mut say);
        self.one_run(&mut say);
        self.nothing_made_up(&mut say);
        for sent in self.sents {
            self.end(sent, &mut say);
            self.answers(sent, &mut say);
            self.timestamps(sent, &mut say);
            self.refused_as_conflict(sent, &mut say);
        }
        self.conflicts(&mut say);
        self.count(verdict);
    }

    /// Runs that answers or rows name.
    pub(super) fn runs(&self) -> BTreeSet<Uuid> {
        let answered = self.attempts().filter_map(|attempt| match attempt.answer {
            Answer::Accepted { run, .. } => Some(run),
            Answer::Refused { code: 409, run, .. } => run,
            _ => None,
        });
        let letters = self.letters.iter().filter_map(|letter| letter.run);
        answered.chain(self.rows.iter().map(|row| row.id)).chain(letters).collect()
    }

    fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.sents.iter().flat_map(|sent| &sent.attempts)
    }

    fn one_row(&self, say: &mut impl FnMut(Invariant, String)) {
        if self.rows.len() > 1 {
            say(Invariant::I1, format!("has {} runs", self.rows.len()));
        }
    }

    fn one_run(&self, say: &mut impl FnMut(Invariant, String)) {
        let runs = self.runs();
        if runs.len() > 1 {
            say(Invariant::I2, format!("answers and rows name {} runs", runs.len()));
        }
        if self.attempts().any(|attempt| matches!(attempt.answer, Answer::Refused { code: 409, run: None, .. })) {
            say(Invariant::Contract, "a 409 does not name the run".to_owned());
        }
    }

    /// What is there was sent as it is, and not only refused.
    fn nothing_made_up(&self, say: &mut impl FnMut(Invariant, String)) {
        let mut check = |what: &str, of: Option<&Sent>| match of {
            None => say(Invariant::I3, format!("{what} is not what was sent")),
            Some(sent) if !sent.attempts.iter().any(|attempt| attempt.answer.may_be_published()) => {
                say(Invariant::I3, format!("{what} is there although every request of it was refused"));
            }
            Some(_) => {}
        };
        for row in &self.rows {
            check("a run", self.sents.iter().find(|sent| self.is_run(&sent.what, row)));
        }
        for letter in &self.letters {
            check("a dead letter", self.sents.iter().find(|sent| self.is_letter(&sent.what, letter)));
        }
    }

    /// I3, for one delivery; and that there was an end at all (I6).
    fn end(&self, sent: &Sent, say: &mut impl FnMut(Invariant, String)) {
        if !sent.attempts.iter().any(|attempt| attempt.answer.is_definite()) {
            let last = sent.attempts.last().map(|attempt| attempt.answer.label()).unwrap_or_default();
            say(
                Invariant::I6,
                format!("{} requests, and never a definite answer; the last: {last}", sent.attempts.len()),
            );
        }
        match self.ends(sent) {
            // What a lost stream held may be gone, but nothing may be there twice.
            (0, 0) if !self.is_firm(sent) => {}
            (0, 0) if self.rows.is_empty() && self.letters.is_empty() => {
                say(Invariant::I3, "was accepted and is lost: neither run nor dead letter".to_owned());
            }
            (0, 0) => say(Invariant::I3, "was accepted and is lost: what is there is another delivery".to_owned()),
            (1, 0) | (0, 1) => {}
            (rows, letters) => say(Invariant::I3, format!("ended as {rows} runs and {letters} dead letters")),
        }
    }

    /// Accepted at a time after which nothing was lost that had been accepted.
    fn is_firm(&self, sent: &Sent) -> bool {
        let lost = self.record.notes.iter().filter(|note| note.event == Event::StreamLost);
        let since = lost.map(|note| note.to.unwrap_or(Duration::MAX)).max().unwrap_or_default();
        accepted(sent).any(|attempt| attempt.begun >= since)
    }

    /// Accepted and not there, which the loss of a stream excuses.
    pub(super) fn is_gone(&self, sent: &Sent) -> bool {
        self.is_missing(sent) && !self.is_firm(sent)
    }

    fn is_missing(&self, sent: &Sent) -> bool {
        accepted(sent).next().is_some() && self.ends(sent) == (0, 0)
    }

    fn ends(&self, sent: &Sent) -> (usize, usize) {
        let rows = self.rows.iter().filter(|row| self.is_run(&sent.what, row)).count();
        let letters = self.letters.iter().filter(|letter| self.is_letter(&sent.what, letter)).count();
        (rows, letters)
    }

    fn is_run(&self, what: &What, row: &Row) -> bool {
        let place = &self.places[what.place];
        Some(row.ids) == place.target(what.project.as_ref(), what.template.as_ref())
            && row.payload == what.payload
            // Tells the default target named from the default target not named, which no other column does.
            && fingerprint(place, what).is_some_and(|fingerprint| row.fingerprint == fingerprint.0)
    }

    fn is_letter(&self, what: &What, letter: &Letter) -> bool {
        let place = &self.places[what.place];
        letter.ids.is_some()
            && letter.ids == place.target(what.project.as_ref(), what.template.as_ref())
            && (&letter.project, &letter.template) == (&what.project, &what.template)
            && letter.payload == what.payload.as_bytes()
            && fingerprint(place, what).is_some_and(|fingerprint| letter.fingerprint == fingerprint.0)
    }

    /// What every single answer may be.
    fn answers(&self, sent: &Sent, say: &mut impl FnMut(Invariant, String)) {
        for (index, attempt) in sent.attempts.iter().enumerate() {
            match &attempt.answer {
                Answer::Wrong(how) => say(Invariant::Contract, how.clone()),
                Answer::Refused { code, error, .. } => match (*code, error.as_str()) {
                    (409, "idempotency_conflict") | (503, "unavailable" | "overloaded") => {}
                    (401, "invalid_secret") | (404, "not_found" | "playbook_disabled" | "kill_switch_engaged")
                        if self.is_excused(
                            attempt,
                            Event::Catalog { gateway: attempt.gateway, place: sent.what.place },
                        ) => {}
                    _ => say(Invariant::Contract, format!("was answered {}", attempt.answer.label())),
                },
                Answer::Accepted { code: 200, .. } => {
                    let before = |other: &Attempt| other.begun <= attempt.over() && other.answer.may_be_published();
                    let mut others = sent.attempts.iter().enumerate().filter(|(other, _)| *other != index);
                    if !others.any(|(_, other)| before(other)) {
                        say(Invariant::Contract, "was answered as a replay of what nobody had sent".to_owned());
                    }
                }
                Answer::Accepted { .. } | Answer::Nothing(_) => {}
            }
        }
    }

    /// A replay repeats the original timestamp. It is forgotten where Redis forgets, and not known where the check was
    /// deferred; but the run always has one that was answered, or that of a request which was not.
    fn timestamps(&self, sent: &Sent, say: &mut impl FnMut(Invariant, String)) {
        let original: BTreeSet<&str> = checked(sent).filter_map(|attempt| timestamp(&attempt.answer)).collect();
        if original.len() > 1 && !self.forgot(last_accepted(sent)) {
            say(Invariant::Contract, format!("answers have {} timestamps", original.len()));
        }
        let answered: BTreeSet<&str> = accepted(sent).filter_map(|attempt| timestamp(&attempt.answer)).collect();
        let rows = self.rows.iter().filter(|row| self.is_run(&sent.what, row));
        let rows = rows.map(|row| ("run", &row.accepted_at));
        let letters = self.letters.iter().filter(|letter| self.is_letter(&sent.what, letter));
        let letters = letters.map(|letter| ("dead letter", &letter.accepted_at));
        for (what, accepted_at) in rows.chain(letters) {
            let unheard = sent.attempts.iter().filter(|attempt| !matches!(attempt.answer, Answer::Accepted { .. }));
            let mut unheard = unheard.filter(|attempt| attempt.answer.may_be_published());
            if !answered.contains(accepted_at.as_str()) && !unheard.any(|attempt| self.is_within(accepted_at, attempt))
            {
                say(Invariant::Contract, format!("its {what} was accepted at {accepted_at}, which no answer says"));
            }
        }
    }

    fn is_within(&self, timestamp: &str, attempt: &Attempt) -> bool {
        let Ok(moment) = timestamp.parse::<Timestamp>() else { return false };
        let opened = Duration::from_millis(self.record.opened);
        let moment = Duration::from_millis(moment.as_millis());
        opened + attempt.begun <= moment + SKEW && moment <= opened.saturating_add(attempt.over()).saturating_add(SKEW)
    }

    /// A 409 needs another delivery that can have claimed the key, and must not meet the one that has.
    fn refused_as_conflict(&self, sent: &Sent, say: &mut impl FnMut(Invariant, String)) {
        let others = || self.sents.iter().filter(|other| other.what != sent.what).flat_map(|other| &other.attempts);
        let conflicts = |attempt: &&Attempt| matches!(attempt.answer, Answer::Refused { code: 409, .. });
        for attempt in sent.attempts.iter().filter(conflicts) {
            if !others().any(|other| other.begun <= attempt.over() && other.answer.may_be_published()) {
                say(Invariant::I4, "was answered 409 although nothing else was sent under its key".to_owned());
            }
            let mut before = checked(sent).filter(|other| other.over() <= attempt.begun);
            if before.next().is_some() && !self.forgot(attempt.over()) {
                say(Invariant::I4, "was accepted, and its retry was answered 409".to_owned());
            }
        }
    }

    /// I4: two deliveries of one key are both accepted only where a check was not made, or Redis forgot.
    fn conflicts(&self, say: &mut impl FnMut(Invariant, String)) {
        let claimants: Vec<&Sent> = self.sents.iter().filter(|sent| checked(sent).next().is_some()).collect();
        let last = claimants.iter().map(|sent| last_accepted(sent)).max().unwrap_or_default();
        if claimants.len() > 1 && !self.forgot(last) {
            say(Invariant::I4, format!("{} deliveries were accepted as the one that has the key", claimants.len()));
        }
        for sent in self.sents {
            let created = |attempt: &&Attempt| matches!(attempt.answer, Answer::Accepted { code: 201 | 202, .. });
            if checked(sent).filter(created).count() > 1 && !self.forgot(last_accepted(sent)) {
                say(Invariant::I4, "was accepted as new more than once".to_owned());
            }
        }
        for letter in &self.letters {
            if letter.reason != "idempotency_conflict" {
                say(Invariant::I3, format!("a dead letter for no good reason: {}", letter.reason));
            } else if self.rows.is_empty() {
                say(Invariant::I3, "a dead letter says that it conflicts with a run, and there is none".to_owned());
            }
        }
        if !self.letters.is_empty() && !self.unchecked() {
            say(Invariant::I4, "a conflict was published although every check was made".to_owned());
        }
    }

    /// Whether some delivery of this key may have been published without a check.
    fn unchecked(&self) -> bool {
        let may_be = |attempt: &Attempt| match &attempt.answer {
            Answer::Accepted { deferred, .. } => *deferred,
            other => other.may_be_published(),
        };
        let last = self.attempts().map(Attempt::over).max().unwrap_or_default();
        self.attempts().any(may_be) || self.forgot(last)
    }

    /// Whether Redis may have forgotten this key before `to`.
    fn forgot(&self, to: Duration) -> bool {
        let from = self.attempts().map(|attempt| attempt.begun).min().unwrap_or_default();
        self.noted(Event::Forgot, from, to)
    }

    /// Whether this was so at some moment of a request.
    fn is_excused(&self, attempt: &Attempt, event: Event) -> bool {
        self.noted(event, attempt.begun, attempt.over())
    }

    fn noted(&self, event: Event, from: Duration, to: Duration) -> bool {
        self.record.notes.iter().any(|note| note.event == event && note.meets(from, to))
    }

    fn count(&self, verdict: &mut Verdict) {
        let figures = &mut verdict.figures;
        figures.keys += 1;
        figures.doubled += usize::from(self.rows.len() > 1);
        let accepted_here = self.sents.iter().filter(|sent| accepted(sent).next().is_some());
        figures.conflicts_accepted += accepted_here.count().saturating_sub(1);
        for sent in self.sents {
            figures.deliveries += 1;
            figures.accepted += usize::from(accepted(sent).next().is_some());
            let gone = self.is_missing(sent);
            figures.lost += usize::from(gone && self.is_firm(sent));
            figures.gone_with_the_stream += usize::from(self.is_gone(sent));
            let (rows, letters) = self.ends(sent);
            figures.doubled += usize::from(letters > 0 && rows + letters > 1);
            for attempt in &sent.attempts {
                figures.requests += 1;
                figures.retried += usize::from(!attempt.answer.is_definite());
                *figures.answered.entry(attempt.answer.label()).or_default() += 1;
                figures.accepted_answers += usize::from(matches!(attempt.answer, Answer::Accepted { .. }));
                let unexplained = is_deferred(&attempt.answer)
                    && !self.is_excused(attempt, Event::Unchecked { gateway: attempt.gateway });
                figures.deferred_unexplained += usize::from(unexplained);
            }
        }
    }
}

fn accepted(sent: &Sent) -> impl Iterator<Item = &Attempt> {
    sent.attempts.iter().filter(|attempt| matches!(attempt.answer, Answer::Accepted { .. }))
}

/// Those answers that say whose the claim was.
fn checked(sent: &Sent) -> impl Iterator<Item = &Attempt> {
    accepted(sent).filter(|attempt| !is_deferred(&attempt.answer))
}

fn is_deferred(answer: &Answer) -> bool {
    matches!(answer, Answer::Accepted { deferred: true, .. })
}

fn timestamp(answer: &Answer) -> Option<&str> {
    if let Answer::Accepted { timestamp, .. } = answer { Some(timestamp) } else { None }
}

fn last_accepted(sent: &Sent) -> Duration {
    accepted(sent).map(Attempt::over).max().unwrap_or_default()
}

fn fingerprint(place: &Place, what: &What) -> Option<Fingerprint> {
    let slug = |text: &Option<String>| text.as_ref().and_then(|text| text.parse().ok());
    let selector = Selector { project: slug(&what.project), template: slug(&what.template) };
    let payload = Payload::parse(what.payload.as_bytes()).ok()?;
    Some(Fingerprint::compute(PlaybookId(place.ids.playbook), &selector, &payload))
}
