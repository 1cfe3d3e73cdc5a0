//! All that was measured, by name, a sample for each round.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

/// One measurement.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sample {
    /// Deliveries answered, or rows made, a second.
    pub(crate) per_second: f64,
    /// Runs a second that were committed meanwhile; only where the workers ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runs_per_second: Option<f64>,
    /// Milliseconds by percentile: `p50` … `p99.9`, `max`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) latency_ms: BTreeMap<&'static str, f64>,
    /// Microseconds of CPU for each delivery, by process.
    pub(crate) cpu_us: BTreeMap<String, f64>,
    /// Most bytes in memory, by process.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) peak_bytes: BTreeMap<String, u64>,
}

/// The percentiles that are kept.
pub(crate) const PERCENTILES: [(&str, f64); 8] = [
    ("p10", 10.0),
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("max", 100.0),
];

pub(crate) fn milliseconds(latency: &Histogram<u64>) -> BTreeMap<&'static str, f64> {
    PERCENTILES.map(|(name, percentile)| (name, latency.value_at_percentile(percentile) as f64 / 1e6)).into()
}

impl Sample {
    /// Microseconds of CPU for each delivery, of all processes but the one that sends, and Postgres' where it has no part.
    pub(crate) fn cpu_of(&self, processes: &[&str]) -> f64 {
        processes.iter().filter_map(|name| self.cpu_us.get(*name)).sum()
    }
}

/// The samples of each measurement, in the order of the rounds.
#[derive(Default)]
pub(crate) struct Book(BTreeMap<String, Vec<Sample>>);

/// A median and the least and the most of the rounds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Book {
    pub(crate) fn note(&mut self, name: &str, sample: Sample) {
        self.0.entry(name.to_owned()).or_default().push(sample);
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &[Sample])> {
        self.0.iter().map(|(name, samples)| (name.as_str(), samples.as_slice()))
    }

    pub(crate) fn of(&self, name: &str) -> &[Sample] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Of one measurement.
    pub(crate) fn figure(&self, name: &str, value: impl Fn(&Sample) -> f64) -> Option<Figure> {
        Figure::of(self.of(name).iter().map(value).collect())
    }

    /// Of two that were made in turn: round by round, so that what disturbs both disturbs neither.
    pub(crate) fn ratio(&self, over: &str, under: &str, value: impl Fn(&Sample, &Sample) -> f64) -> Option<Figure> {
        Figure::of(self.of(over).iter().zip(self.of(under)).map(|(over, under)| value(over, under)).collect())
    }
}

impl Figure {
    /// None of nothing.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { median, least, most })
    }
}
