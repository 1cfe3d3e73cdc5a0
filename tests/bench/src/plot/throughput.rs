//! Deliveries a second by the number of connections that send them.

use super::lines::{Lines, Series};
use super::style::{BLUE, GREEN, GREY, PURPLE, VERMILLION};
use crate::book::{Book, Sample};
use crate::sections::side_by_side::CONNECTIONS;

pub(super) fn plot(book: &Book) -> Option<Lines> {
    let place = |connections: usize| (connections as f64).log2();
    let rate = |sample: &Sample| sample.runs_per_second.unwrap_or(sample.per_second);
    let systems = [
        ("floor", "HTTP alone", GREY),
        ("insert", "plain INSERT", VERMILLION),
        ("gateway", "accepted by the gateway", BLUE),
        ("pipeline", "made runs at once", GREEN),
        ("restate", "accepted by Restate", PURPLE),
    ];
    let series = systems.into_iter().filter_map(|(system, name, colour)| {
        let point =
            |connections| Some((place(connections), rate(&book.median(&format!("{system}.closed.{connections}"))?)));
        let points: Vec<_> = CONNECTIONS.into_iter().filter_map(point).collect();
        (!points.is_empty()).then(|| Series { name: name.to_owned(), colour, points })
    });
    let series: Vec<_> = series.collect();
    (!series.is_empty()).then(|| Lines {
        title: "Deliveries a second, each connection with one in flight".to_owned(),
        x_title: "connections",
        y_title: "deliveries a second",
        x_ticks: CONNECTIONS.map(|connections| (place(connections), connections.to_string())).into(),
        logarithmic: false,
        series,
    })
}
