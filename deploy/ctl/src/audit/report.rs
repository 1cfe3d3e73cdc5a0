//! What was found, and whether it adds up.

use proto::queue::STREAM;
use serde::Serialize;

use super::{
    ranges::Ranges,
    record::{DeadLetters, Odd, Record, Runs},
};
use crate::{
    Error,
    output::{json_line, say},
};

/// As JSON, names and types are stable here and in all that is in it; members may be added.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Findings {
    /// By epoch.
    pub(super) streams: Vec<Stream>,
    /// None where not all streams were looked at.
    pub(super) dead_letters: Option<DeadLetters>,
    /// None where they were not counted.
    pub(super) runs: Option<Runs>,
}

/// One incarnation of the stream.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stream {
    #[serde(flatten)]
    pub(super) record: Record,
    /// The one that is there.
    pub(super) current: bool,
    /// The last sequence; of a stream that was lost, the last that is known of.
    pub(super) last: i64,
    pub(super) settled: i64,
    /// In the stream, to be settled yet.
    pub(super) waiting: i64,
    /// Neither, and nobody has said that it was dealt with.
    pub(super) missing: Ranges,
    /// Not settled, and somebody has.
    pub(super) acknowledged: i64,
    /// More was settled than the stream has ever had.
    pub(super) rolled_back: bool,
    /// Batches whose outcomes are not what was announced.
    pub(super) odd: Vec<Odd>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict<'a> {
    adds_up: bool,
    violations: &'a [String],
    #[serde(flatten)]
    findings: &'a Findings,
}

/// Prints all of it.
///
/// # Errors
/// Where it does not add up.
pub(super) fn tell(findings: &Findings, json: bool) -> Result<(), Error> {
    let violations = findings.violations();
    if json {
        json_line(&Verdict { adds_up: violations.is_empty(), violations: &violations, findings })?;
    } else {
        findings.lines().iter().try_for_each(|line| say(line))?;
        violations.iter().try_for_each(|violation| say(&format!("DOES NOT ADD UP: {violation}")))?;
    }
    match violations.len() {
        0 if json => Ok(()),
        0 => say("everything adds up"),
        1 => Err(Error::Failed("1 thing does not add up".to_owned())),
        count => Err(Error::Failed(format!("{count} things do not add up"))),
    }
}

impl Findings {
    fn violations(&self) -> Vec<String> {
        let mut all: Vec<String> = self.streams.iter().flat_map(Stream::violations).collect();
        if let Some(DeadLetters { written: Some(written), there, .. }) = &self.dead_letters
            && written != there
        {
            all.push(format!(
                "{written} dead letters were written and {there} are there; nothing in Runlatch deletes one"
            ));
        }
        if let Some(Runs { created, replayed, there }) = &self.runs
            && created + replayed != *there
        {
            all.push(format!(
                "{} runs were made and {there} are there (fewer where they are pruned: then leave out --count-runs)",
                created + replayed
            ));
        }
        all
    }

    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.streams.iter().flat_map(Stream::lines).collect();
        if let Some(DeadLetters { written, there, open, open_messages }) = &self.dead_letters {
            let written = written.map_or("an unknown number".to_owned(), |written| written.to_string());
            lines.push(format!("dead letters: {written} written, {there} there; {open} open"));
            if *open_messages > 0 {
                lines.push(format!(
                    "  {open_messages} of them raw messages: what they carry may have become runs by retries, which \
                     `runlatch dead-letters replay` finds out"
                ));
            }
        }
        if let Some(Runs { created, replayed, there }) = &self.runs {
            lines.push(format!("runs: {created} made by workers, {replayed} by replays, {there} there"));
        }
        lines
    }
}

impl Stream {
    fn violations(&self) -> Vec<String> {
        let (epoch, mut all) = (self.record.epoch, Vec::new());
        if !self.missing.is_empty() && self.current {
            all.push(format!(
                "epoch {epoch}: {} messages are neither settled nor in the stream: {} (purged, deleted or acked by other \
                 hands? `runlatch audit acknowledge {epoch} SEQUENCES --note WHY` once it is dealt with)",
                self.missing.count(),
                self.missing
            ));
        }
        if !self.current && !self.record.acknowledged_whole {
            let gaps = if self.missing.is_empty() {
                String::new()
            } else {
                format!(", {} messages before it were not: {}", self.missing.count(), self.missing)
            };
            all.push(format!(
                "epoch {epoch}: that stream is gone. Settled up to {}{gaps}; what came after nobody knows. It comes back \
                 by its senders' retries (`runlatch audit acknowledge {epoch} --note WHY` once it is dealt with)",
                self.last
            ));
        }
        if self.rolled_back {
            all.push(format!(
                "epoch {epoch}: sequence {} was settled and the stream ends at {}: its end was lost, and its numbers are \
                 given out again",
                self.record.highest_settled, self.last
            ));
        }
        all.extend(self.odd.iter().map(|odd| {
            format!(
                "epoch {epoch}: messages {} announced {} deliveries, and {} were settled",
                odd.sequences, odd.announced, odd.settled
            )
        }));
        all
    }

    fn lines(&self) -> Vec<String> {
        let Record { epoch, announced, created, duplicates, dead_letters, unannounced_rows, .. } = self.record;
        let acknowledged = if self.record.acknowledged_whole {
            ", acknowledged".to_owned()
        } else if self.acknowledged > 0 {
            format!(", acknowledged {}", self.acknowledged)
        } else {
            String::new()
        };
        let whole = if self.current {
            format!(
                "stream {STREAM}, epoch {epoch}: {} messages = {} settled + {} waiting + {} missing{acknowledged}",
                self.last,
                self.settled,
                self.waiting,
                self.missing.count()
            )
        } else {
            format!("lost stream, epoch {epoch}: {} messages settled{acknowledged}", self.settled)
        };
        let outcomes = format!("{created} runs + {duplicates} duplicates + {dead_letters} dead letters");
        let deliveries = if unannounced_rows > 0 {
            format!("  {outcomes}; {unannounced_rows} rows of older workers do not say what was announced")
        } else {
            format!("  {announced} deliveries announced, settled as {outcomes}")
        };
        vec![whole, deliveries]
    }
}
