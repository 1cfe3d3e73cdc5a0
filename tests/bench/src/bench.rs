//! One run of the benchmark: what every measurement is made with.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::book::{Book, Sample};
use crate::load::Requests;
use crate::measure::{Load, measure};
use crate::progress::Progress;
use crate::sections;
use crate::stage::Stage;

/// Bytes of the usual body.
pub(crate) const BODY: usize = 450;

/// What can be asked for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Settings {
    pub(crate) rounds: usize,
    /// That a measurement takes, after a quarter as much to warm up.
    pub(crate) seconds: f64,
    /// Names of measurements, or parts of them. None: all.
    pub(crate) only: Vec<String>,
    pub(crate) sizes: Sizes,
}

/// How much there is of what there is to be much of.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sizes {
    /// Deliveries of a burst.
    pub(crate) burst: u64,
    /// Deliveries that are sent again and again.
    pub(crate) retried: u64,
    /// Deliveries that wait for a worker whose speed is measured, and for one whose memory is.
    pub(crate) waiting: u64,
    pub(crate) backlog: u64,
    /// Claims in Redis.
    pub(crate) claims: u64,
    /// Rows in `runs`.
    pub(crate) rows: u64,
    /// Playbooks, in organizations of a thousand.
    pub(crate) playbooks: u64,
}

impl Sizes {
    /// Those of a full run, divided: to see that everything works.
    pub(crate) fn divided(by: u64) -> Self {
        Self {
            burst: 100_000 / by,
            retried: 50_000 / by,
            // Several batches, or there is no time between the first and the last.
            waiting: 300_000 / by.min(10),
            backlog: 1_000_000 / by,
            claims: 5_000_000 / by,
            rows: 10_000_000 / by,
            playbooks: (100 / by).max(1) * 1000,
        }
    }
}

pub(crate) struct Bench {
    pub(crate) stage: Stage,
    pub(crate) book: Book,
    pub(crate) settings: Settings,
    /// Where Restate is installed, where it is to be measured.
    pub(crate) restate: Option<PathBuf>,
    pub(crate) progress: Progress,
    /// What could not be measured, and why.
    pub(crate) failures: Vec<String>,
    /// The usual deliveries: every one new.
    pub(crate) requests: Requests,
}

impl Bench {
    pub(crate) fn new(stage: Stage, settings: Settings, restate: Option<PathBuf>, progress: Progress) -> Result<Self> {
        let requests = Requests::new(stage.secrets.clone(), 0, BODY, "plain")?;
        Ok(Self { stage, book: Book::default(), settings, restate, progress, failures: Vec::new(), requests })
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs_f64(self.settings.seconds)
    }

    /// Whether this measurement was asked for, by its name or by its section's.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let only = &self.settings.only;
        let section = sections::of(name);
        only.is_empty() || only.iter().any(|part| name.contains(part.as_str()) || section.contains(part.as_str()))
    }

    pub(crate) fn wants_any<N: AsRef<str>>(&self, names: impl IntoIterator<Item = N>) -> bool {
        names.into_iter().any(|name| self.wants(name.as_ref()))
    }

    /// As many connections, each with one delivery in flight, to the gateways.
    pub(crate) fn closed(&self, connections: usize) -> Load {
        Load::closed(self.stage.gateways(), connections, self.time())
    }

    /// Makes a measurement with the usual deliveries, if it is wanted.
    pub(crate) fn measure(&mut self, name: &str, load: &Load) -> Result<()> {
        let mut requests = self.requests.clone();
        let done = self.measure_with(name, load, &mut requests);
        self.requests = requests;
        done
    }

    /// The same with others.
    pub(crate) fn measure_with(&mut self, name: &str, load: &Load, requests: &mut Requests) -> Result<()> {
        if self.wants(name) {
            self.progress.step(name);
            let sample = measure(&self.stage, load, requests)?;
            self.book.note(name, sample);
        }
        Ok(())
    }

    /// Makes a measurement of the whole pipeline, and waits until every delivery of it is a run.
    pub(crate) async fn pipeline(&mut self, name: &str, load: Load) -> Result<()> {
        let mut requests = self.requests.clone();
        let done = self.pipeline_with(name, load, &mut requests).await;
        self.requests = requests;
        done
    }

    /// The same with other deliveries.
    pub(crate) async fn pipeline_with(&mut self, name: &str, load: Load, requests: &mut Requests) -> Result<()> {
        if self.wants(name) {
            let (created, first) = (self.stage.created().await?, requests.next());
            self.measure_with(name, &load.counting_runs(), requests)?;
            self.stage.settled(created + requests.next() - first).await?;
        }
        Ok(())
    }

    /// Notes what was measured otherwise, if it is wanted.
    pub(crate) fn note(&mut self, name: &str, sample: Sample) {
        if self.wants(name) {
            self.book.note(name, sample);
        }
    }
}
