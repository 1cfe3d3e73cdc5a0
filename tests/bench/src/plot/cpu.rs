//! Where the CPU time of a delivery goes.

use super::bars::Bars;
use super::style::{BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION};
use crate::book::Book;

pub(super) fn plot(book: &Book) -> Option<Bars> {
    let parts = [
        ("insert", "HTTP server with INSERT", VERMILLION),
        ("gateway", "gateway", BLUE),
        ("redis", "Redis", PURPLE),
        ("nats", "NATS", ORANGE),
        ("worker", "worker", GREEN),
        ("postgres", "Postgres", SKY),
    ];
    let bars = [
        ("plain INSERT", "insert.closed.64"),
        ("a new delivery", "pipeline.closed.64"),
        ("a replay", "retries.replay"),
    ];
    let bars = bars.into_iter().filter_map(|(name, measurement)| {
        let median = book.median(measurement)?;
        // What idles beside the measurement is no part of it.
        let us = |process| Some(median.cpu_of(&[process])).filter(|us| *us >= 0.1).unwrap_or_default();
        Some((name.to_owned(), parts.iter().map(|(process, ..)| us(process)).collect()))
    });
    let bars: Vec<_> = bars.collect();
    (!bars.is_empty()).then(|| Bars {
        title: "Where the CPU time of a delivery goes, at 64 connections".to_owned(),
        x_title: "microseconds of CPU time for each delivery",
        parts: parts.map(|(_, name, colour)| (name.to_owned(), colour)).into(),
        bars,
    })
}
