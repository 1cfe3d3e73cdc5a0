//! What became of each dead letter, told one by one.

use proto::RunId;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    Error,
    output::{json_line, say},
};

/// How a command goes about it.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub(super) dry_run: bool,
    pub(super) json: bool,
}

/// One line. As JSON, names and types are stable; members may be added.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    id: Uuid,
    ending: Ending,
    dry_run: bool,
    /// Why it is as it is, for people.
    detail: String,
    /// Runs that are there for what it carries.
    runs: Vec<RunId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ending {
    Replayed,
    ReplayedBefore,
    Discarded,
    DiscardedBefore,
    /// It could not be done, and nothing has changed.
    Unchanged,
}

/// An ending, why, and the runs that are there.
pub(super) type CameTo = (Ending, String, Vec<RunId>);

/// Tells them, and counts those that could not be done.
pub(super) struct Report {
    manner: Manner,
    /// How many were asked for at most.
    limit: Option<u32>,
    told: usize,
    unchanged: usize,
}

impl Report {
    pub(super) fn new(manner: Manner, limit: Option<u32>) -> Self {
        Self { manner, limit, told: 0, unchanged: 0 }
    }

    /// What was tried with one. Where that failed it is rolled back, and the next may do better.
    ///
    /// # Errors
    /// Where none can do better, because it is the server that is at fault.
    pub(super) fn tell(&mut self, id: Uuid, came_to: Result<CameTo, Error>) -> Result<(), Error> {
        match came_to {
            Ok((ending, detail, runs)) => self.line(id, ending, detail, runs),
            Err(Error::Failed(why)) => self.line(id, Ending::Unchanged, why, Vec::new()),
            Err(Error::Unavailable(why)) => Err(Error::Unavailable(format!(
                "{why}; {} were seen to, and {} of them could not be done; it may be repeated",
                self.told, self.unchanged
            ))),
            Err(error) => Err(error),
        }
    }

    fn line(&mut self, id: Uuid, ending: Ending, detail: String, runs: Vec<RunId>) -> Result<(), Error> {
        self.told += 1;
        self.unchanged += usize::from(ending == Ending::Unchanged);
        let line = Line { id, ending, dry_run: self.manner.dry_run, detail, runs };
        if self.manner.json { json_line(&line) } else { say(&line.to_string()) }
    }

    /// # Errors
    /// Where any could not be done, so that a script notices.
    pub(super) fn end(self) -> Result<(), Error> {
        match (self.told, self.unchanged) {
            (0, _) => crate::remark("no open dead letters"),
            (_, 0) => {}
            (told, unchanged) => {
                // They are the oldest, and would be the oldest again.
                if told == unchanged && self.limit.is_some_and(|limit| told >= limit as usize) {
                    crate::remark("all of these stay; to get at those behind them, filter, or raise --limit");
                }
                return Err(Error::Failed(format!("{unchanged} of {told} could not be done")));
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = match (self.ending, self.dry_run) {
            (Ending::Replayed, false) => "replayed",
            (Ending::Replayed, true) => "would be replayed",
            (Ending::ReplayedBefore, _) => "was replayed before",
            (Ending::Discarded, false) => "discarded",
            (Ending::Discarded, true) => "would be discarded",
            (Ending::DiscardedBefore, _) => "was discarded before",
            (Ending::Unchanged, _) => "left as it is",
        };
        write!(f, "{}  {word}: {}", self.id, self.detail)
    }
}
