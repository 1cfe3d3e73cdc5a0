//! The report for programs: `report.json`. The names of its members stay.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::bench::{Bench, Settings};
use crate::book::{Figure, Room, Sample};
use crate::ratios::{Goal, MEMORY, RATIOS, Ratio};
use crate::sizing::{Size, sizes};

#[derive(Serialize)]
struct Report<'a> {
    machine: BTreeMap<&'static str, String>,
    settings: &'a Settings,
    measurements: BTreeMap<&'a str, Measurement<'a>>,
    /// MiB.
    memory: BTreeMap<&'static str, f64>,
    ratios: BTreeMap<&'static str, f64>,
    ratio_rounds: BTreeMap<&'static str, Figure>,
    goals: BTreeMap<&'static str, Goal>,
    sizing: Sizing<'a>,
    /// What could not be measured, and why.
    failures: &'a [String],
}

#[derive(Serialize)]
struct Measurement<'a> {
    rounds: &'a [Sample],
    medians: Option<Sample>,
    least: Option<Sample>,
    most: Option<Sample>,
}

#[derive(Serialize)]
struct Sizing<'a> {
    bytes: &'a Room,
    rates: Vec<Size>,
}

/// Writes it.
pub(crate) async fn write(bench: &Bench, file: &Path) -> Result<()> {
    let book = &bench.book;
    let figures = |ratios: &'static [Ratio]| {
        ratios.iter().filter_map(|ratio| Some((ratio.name, (ratio.figure)(book)?))).collect::<BTreeMap<_, _>>()
    };
    let ratios = figures(&RATIOS);
    let report = Report {
        machine: bench.stage.machine().await?,
        settings: &bench.settings,
        measurements: book
            .all()
            .map(|(name, rounds)| {
                let [least, most] = book.spread(name);
                (name, Measurement { rounds, medians: book.median(name), least, most })
            })
            .collect(),
        memory: figures(&MEMORY).into_iter().map(|(name, figure)| (name, figure.most)).collect(),
        ratios: ratios.iter().map(|(name, figure)| (*name, figure.median)).collect(),
        ratio_rounds: ratios,
        goals: RATIOS.iter().chain(&MEMORY).filter_map(|ratio| Some((ratio.name, ratio.goal?))).collect(),
        sizing: Sizing { bytes: &book.room, rates: sizes(book) },
        failures: &bench.failures,
    };
    fs::write(file, serde_json::to_string_pretty(&report)? + "\n")
        .with_context(|| format!("writing {}", file.display()))
}
