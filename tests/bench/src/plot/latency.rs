//! Latency by percentile at a steady rate.

use super::lines::{Lines, Series};
use super::style::{BLUE, GREEN, GREY, PURPLE, VERMILLION};
use crate::book::{Book, PERCENTILES};

const RATE: u32 = 5000;

/// As far right as a percentile has nines.
fn nines(percentile: f64) -> f64 {
    -(1.0 - percentile / 100.0).log10()
}

pub(super) fn plot(book: &Book) -> Option<Lines> {
    let percentiles: Vec<_> = PERCENTILES.into_iter().filter(|(_, percentile)| *percentile < 100.0).collect();
    let systems = [
        ("floor", "HTTP alone", GREY),
        ("insert", "plain INSERT", VERMILLION),
        ("gateway", "gateway", BLUE),
        ("pipeline", "gateway and worker", GREEN),
        ("restate", "Restate", PURPLE),
    ];
    let series = systems.into_iter().filter_map(|(system, name, colour)| {
        let median = book.median(&format!("{system}.open.{RATE}"))?;
        let points = percentiles.iter().map(|(name, percentile)| (nines(*percentile), median.ms(name))).collect();
        Some(Series { name: name.to_owned(), colour, points })
    });
    let series: Vec<_> = series.collect();
    (!series.is_empty()).then(|| Lines {
        title: "Time to the answer at 5,000 deliveries a second".to_owned(),
        x_title: "percentile of the deliveries",
        y_title: "milliseconds",
        // Those between would be written over each other.
        x_ticks: percentiles
            .iter()
            .filter(|(name, _)| !["p10", "p95", "p99.5"].contains(name))
            .chain(&percentiles[..1])
            .map(|(_, percentile)| (nines(*percentile), format!("{percentile} %")))
            .collect(),
        logarithmic: true,
        series,
    })
}
