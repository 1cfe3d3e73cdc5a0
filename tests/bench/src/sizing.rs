//! On paper: what so many deliveries a second take, from what one was measured to cost.

use serde::Serialize;

use crate::book::{Book, Room, Sample};

/// Deliveries a second.
pub(crate) const RATES: [u32; 3] = [1000, 10_000, 100_000];
/// How much of a core a gateway or a worker is meant to use: the rest is for bursts, and for when one of them is gone.
const USED: f64 = 0.6;
const GIB: f64 = (1_u64 << 30) as f64;

/// What one rate takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Size {
    pub(crate) deliveries_per_second: u32,
    /// Processes at 60 % of a core each.
    pub(crate) gateways: u32,
    pub(crate) workers: u32,
    /// Cores in use.
    pub(crate) redis_cores: f64,
    pub(crate) nats_cores: f64,
    pub(crate) postgres_cores: f64,
    /// Redis' memory for each hour that a key is remembered.
    pub(crate) redis_gib_per_hour: Option<f64>,
    /// NATS' disk for each hour that nothing is drained.
    pub(crate) nats_gib_per_hour: Option<f64>,
    /// Postgres' disk for each day of runs that are kept.
    pub(crate) postgres_gib_per_day: Option<f64>,
}

/// From the CPU of a delivery through the whole pipeline, at the same rate: the more there are the less each costs, since they
/// are written, acknowledged and committed together. Beyond what was measured, at the highest rate that was.
pub(crate) fn sizes(book: &Book) -> Vec<Size> {
    let at = |rate: u32| book.median(&format!("pipeline.open.{rate}"));
    let highest = RATES.into_iter().filter_map(at).next_back();
    RATES.into_iter().filter_map(|rate| Some(size(rate, &at(rate).or_else(|| highest.clone())?, &book.room))).collect()
}

fn size(rate: u32, new: &Sample, room: &Room) -> Size {
    let cores = |process: &str| f64::from(rate) * new.cpu_of(&[process]) / 1e6;
    let processes = |process: &str| ((cores(process) / USED).ceil() as u32).max(1);
    let gib = |bytes: Option<f64>, hours: f64| bytes.map(|bytes| f64::from(rate) * hours * 3600.0 * bytes / GIB);
    Size {
        deliveries_per_second: rate,
        gateways: processes("gateway"),
        workers: processes("worker"),
        redis_cores: cores("redis"),
        nats_cores: cores("nats"),
        postgres_cores: cores("postgres"),
        redis_gib_per_hour: gib(room.redis_per_key, 1.0),
        nats_gib_per_hour: gib(room.nats_per_delivery, 1.0),
        postgres_gib_per_day: gib(room.postgres_per_run, 24.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_the_cost_times_the_rate() {
        let cpu = [("gateway", 18.0), ("worker", 3.0), ("redis", 7.0), ("nats", 5.0), ("postgres", 12.0)];
        let mut book = Book::default();
        // Twice as much at a tenth of the rate.
        for (name, times) in [("pipeline.open.1000", 2.0), ("pipeline.open.10000", 1.0)] {
            let cpu_us = cpu.into_iter().map(|(name, us)| (name.to_owned(), us * times)).collect();
            book.note(name, Sample { cpu_us, ..Sample::default() });
        }
        book.room =
            Room { redis_per_key: Some(GIB / 3.6e6), nats_per_delivery: None, postgres_per_run: Some(GIB / 8.64e7) };
        let sizes = sizes(&book);
        assert!((sizes[0].redis_cores - 0.014).abs() < 1e-9 && (sizes[1].redis_cores - 0.07).abs() < 1e-9, "{sizes:?}");
        assert_eq!(sizes.iter().map(|size| size.gateways).collect::<Vec<_>>(), [1, 1, 3]);
        assert_eq!(sizes.iter().map(|size| size.workers).collect::<Vec<_>>(), [1, 1, 1]);
        let most = &sizes[2];
        assert!((most.redis_cores - 0.7).abs() < 1e-9 && (most.postgres_cores - 1.2).abs() < 1e-9, "{most:?}");
        assert!(most.redis_gib_per_hour.is_some_and(|gib| (gib - 100.0).abs() < 1e-6), "{most:?}");
        assert!(sizes[0].postgres_gib_per_day.is_some_and(|gib| (gib - 1.0).abs() < 1e-6), "{most:?}");
        assert_eq!(most.nats_gib_per_hour, None);
    }
}
