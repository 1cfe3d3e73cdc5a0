//! The plots, each as SVG and as PNG.

mod axis;
mod bars;
mod cpu;
mod latency;
mod lines;
mod style;
mod throughput;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use plotters::coord::Shift;
use plotters::prelude::*;

use self::bars::Bars;
use self::lines::Lines;
use crate::book::Book;

/// Pixels.
const SIZE: (u32, u32) = (1200, 720);

/// A plot, if there is anything to show in it.
enum Plot {
    Lines(Lines),
    Bars(Bars),
}

/// Draws all that can be drawn from what was measured.
pub(crate) fn draw(book: &Book, folder: &Path) -> Result<()> {
    style::register()?;
    for (name, plot) in [
        ("latency", latency::plot(book).map(Plot::Lines)),
        ("throughput", throughput::plot(book).map(Plot::Lines)),
        ("cpu", cpu::plot(book).map(Plot::Bars)),
    ] {
        let [svg, png] = ["svg", "png"].map(|kind| folder.join(format!("{name}.{kind}")));
        // What an earlier run has drawn is not to be taken for this one's.
        for file in [&svg, &png] {
            _ = fs::remove_file(file);
        }
        if let Some(plot) = plot {
            on(&SVGBackend::new(&svg, SIZE).into_drawing_area(), &plot).with_context(|| svg.display().to_string())?;
            on(&BitMapBackend::new(&png, SIZE).into_drawing_area(), &plot)
                .with_context(|| png.display().to_string())?;
        }
    }
    Ok(())
}

fn on<B: DrawingBackend>(area: &DrawingArea<B, Shift>, plot: &Plot) -> Result<()>
where
    B::ErrorType: 'static,
{
    area.fill(&WHITE)?;
    match plot {
        Plot::Lines(lines) => lines.draw(area)?,
        Plot::Bars(bars) => bars.draw(area)?,
    }
    Ok(area.present()?)
}
