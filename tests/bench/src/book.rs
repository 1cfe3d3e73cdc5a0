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
    /// Of a burst: seconds until the last one was answered, and until the last one was a row.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) seconds: BTreeMap<&'static str, f64>,
    /// Milliseconds by percentile: `p10` … `p99.9`, `max`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) latency_ms: BTreeMap<&'static str, f64>,
    /// Microseconds of CPU for each delivery, by process.
    pub(crate) cpu_us: BTreeMap<String, f64>,
    /// Most bytes in memory, by process.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) peak_bytes: BTreeMap<String, u64>,
    /// Share of the cores' time that the host took away meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stolen: Option<f64>,
}

/// The percentiles that are kept.
pub(crate) const PERCENTILES: [(&str, f64); 10] = [
    ("p10", 10.0),
    ("p25", 25.0),
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("p99.5", 99.5),
    ("p99.9", 99.9),
    ("max", 100.0),
];

pub(crate) fn milliseconds(latency: &Histogram<u64>) -> BTreeMap<&'static str, f64> {
    PERCENTILES.map(|(name, percentile)| (name, latency.value_at_percentile(percentile) as f64 / 1e6)).into()
}

impl Sample {
    /// Microseconds of CPU for each delivery, of these processes together.
    pub(crate) fn cpu_of(&self, processes: &[&str]) -> f64 {
        processes.iter().filter_map(|name| self.cpu_us.get(*name)).sum()
    }

    /// Milliseconds that so many of a hundred deliveries did not exceed.
    pub(crate) fn ms(&self, percentile: &str) -> f64 {
        self.latency_ms.get(percentile).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn peak_mib(&self, process: &str) -> f64 {
        self.peak_bytes.get(process).map_or(f64::NAN, |bytes| *bytes as f64 / f64::from(1 << 20))
    }

    /// What is picked of each number by itself.
    fn fold(samples: &[Self], pick: fn(Figure) -> f64) -> Option<Self> {
        let of =
            |value: &dyn Fn(&Self) -> Option<f64>| Figure::of(samples.iter().filter_map(value).collect()).map(pick);
        let first = samples.first()?;
        let names = |map: &BTreeMap<&'static str, f64>| map.keys().copied().collect::<Vec<_>>();
        Some(Self {
            per_second: of(&|sample| Some(sample.per_second))?,
            runs_per_second: of(&|sample| sample.runs_per_second),
            seconds: names(&first.seconds)
                .into_iter()
                .filter_map(|name| Some((name, of(&|sample| sample.seconds.get(name).copied())?)))
                .collect(),
            latency_ms: names(&first.latency_ms)
                .into_iter()
                .filter_map(|name| Some((name, of(&|sample| sample.latency_ms.get(name).copied())?)))
                .collect(),
            cpu_us: first
                .cpu_us
                .keys()
                .filter_map(|name| Some((name.clone(), of(&|sample| sample.cpu_us.get(name).copied())?)))
                .collect(),
            peak_bytes: first
                .peak_bytes
                .keys()
                .filter_map(|name| {
                    let bytes = of(&|sample| sample.peak_bytes.get(name).map(|bytes| *bytes as f64))?;
                    Some((name.clone(), bytes as u64))
                })
                .collect(),
            stolen: of(&|sample| sample.stolen),
        })
    }
}

/// The samples of each measurement, in the order of the rounds.
#[derive(Default)]
pub(crate) struct Book {
    samples: BTreeMap<String, Vec<Sample>>,
    /// What things take room for.
    pub(crate) room: Room,
}

/// Bytes, where they were measured.
#[derive(Clone, Copy, Default, Debug, Serialize)]
pub(crate) struct Room {
    /// Of Redis' memory for each key.
    pub(crate) redis_per_key: Option<f64>,
    /// Of NATS' disk for each delivery that waits.
    pub(crate) nats_per_delivery: Option<f64>,
    /// Of Postgres' disk for each run, its indexes included.
    pub(crate) postgres_per_run: Option<f64>,
}

/// A median and the least and the most of the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Book {
    pub(crate) fn note(&mut self, name: &str, sample: Sample) {
        self.samples.entry(name.to_owned()).or_default().push(sample);
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &[Sample])> {
        self.samples.iter().map(|(name, samples)| (name.as_str(), samples.as_slice()))
    }

    pub(crate) fn of(&self, name: &str) -> &[Sample] {
        self.samples.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The median of each number by itself.
    pub(crate) fn median(&self, name: &str) -> Option<Sample> {
        Sample::fold(self.of(name), |figure| figure.median)
    }

    /// The least and the most of each.
    pub(crate) fn spread(&self, name: &str) -> [Option<Sample>; 2] {
        [|figure: Figure| figure.least, |figure: Figure| figure.most].map(|pick| Sample::fold(self.of(name), pick))
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
    /// None of nothing, and none of what is no number: a division by what was too little to be seen.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { median, least, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_middle_and_the_ends() {
        let figure =
            |values: &[f64]| Figure::of(values.to_vec()).map(|figure| (figure.median, figure.least, figure.most));
        assert_eq!(figure(&[]), None);
        assert_eq!(figure(&[f64::NAN, f64::INFINITY]), None);
        assert_eq!(figure(&[3.0]), Some((3.0, 3.0, 3.0)));
        assert_eq!(figure(&[9.0, 1.0, f64::NAN, 4.0]), Some((4.0, 1.0, 9.0)));
        assert_eq!(figure(&[9.0, 1.0, 4.0, 2.0]), Some((3.0, 1.0, 9.0)));
    }

    #[test]
    fn the_median_is_taken_of_each_number_by_itself() {
        let mut book = Book::default();
        for (rate, p50) in [(1.0, 30.0), (2.0, 10.0), (3.0, 20.0)] {
            book.note("a", Sample { per_second: rate, latency_ms: [("p50", p50)].into(), ..Sample::default() });
        }
        let median = book.median("a").expect("samples");
        assert_eq!((median.per_second, median.ms("p50"), median.runs_per_second), (2.0, 20.0, None));
    }
}
