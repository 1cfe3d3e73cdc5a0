//! Bars of several parts each.

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::axis::Axis;
use super::style::{GREY, GRID, HEAD, MARGIN, centred, head, text};

/// A bar is thinner than its row.
const THICKNESS: f64 = 0.56;
/// Pixels that a number in a part needs.
const ROOM: f64 = 44.0;

/// The plot.
pub(super) struct Bars {
    pub(super) title: String,
    pub(super) x_title: &'static str,
    pub(super) parts: Vec<(String, RGBColor)>,
    /// From top to bottom; a value for each part.
    pub(super) bars: Vec<(String, Vec<f64>)>,
}

impl Bars {
    /// Draws it.
    pub(super) fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        head(area, &self.title, &self.parts)?;
        let rows = self.bars.len() as f64;
        let most = self.bars.iter().map(|(_, values)| values.iter().sum::<f64>()).fold(0.0, f64::max);
        let middle = |row: usize| rows - 0.5 - row as f64;
        let names = self.bars.iter().enumerate().map(|(row, (name, _))| (middle(row), name.clone()));
        let mut chart = ChartBuilder::on(area)
            .margin(MARGIN)
            .margin_top(HEAD)
            .x_label_area_size(64)
            .y_label_area_size(210)
            .build_cartesian_2d(0.0..most * 1.08, Axis::new(0.0..rows, names.collect()))?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(GREY)
            .label_style(text(20))
            .axis_desc_style(text(22))
            .x_desc(self.x_title)
            .x_labels(10)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .draw()?;
        let pixel = most * 1.08 / f64::from(chart.plotting_area().dim_in_pixel().0);
        for (row, (_, values)) in self.bars.iter().enumerate() {
            let (top, bottom) = (middle(row) + THICKNESS / 2.0, middle(row) - THICKNESS / 2.0);
            let mut from = 0.0;
            for (value, (_, colour)) in values.iter().zip(&self.parts) {
                let to = from + value;
                chart.draw_series([Rectangle::new([(from, bottom), (to, top)], colour.filled())])?;
                if *value > ROOM * pixel {
                    let white = centred(21).color(&WHITE);
                    chart.draw_series([Text::new(format!("{value:.1}"), ((from + to) / 2.0, middle(row)), white)])?;
                }
                from = to;
            }
            let sum = Text::new(format!("{from:.0}"), (from + 8.0 * pixel, middle(row) + 0.06), text(22));
            chart.draw_series([sum])?;
        }
        Ok(())
    }
}
