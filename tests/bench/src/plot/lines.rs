//! Lines through points, over an axis with ticks of one's own choice.

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::axis::Axis;
use super::style::{GRID, HEAD, MARGIN, head, text};
use crate::table::number;

/// One line.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) colour: RGBColor,
    pub(super) points: Vec<(f64, f64)>,
}

/// The plot.
pub(super) struct Lines {
    pub(super) title: String,
    pub(super) x_title: &'static str,
    pub(super) y_title: &'static str,
    /// Where on the x axis something is written.
    pub(super) x_ticks: Vec<(f64, String)>,
    /// Whether the y axis counts in powers of ten.
    pub(super) logarithmic: bool,
    pub(super) series: Vec<Series>,
}

impl Lines {
    /// Draws it.
    pub(super) fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let legend: Vec<_> = self.series.iter().map(|series| (series.name.clone(), series.colour)).collect();
        head(area, &self.title, &legend)?;
        let (x_first, x_last) = ends(self.x_ticks.iter().map(|tick| tick.0));
        let (least, most) = ends(self.series.iter().flat_map(|series| series.points.iter().map(|point| point.1)));
        let ticks = if self.logarithmic { powers(least, most) } else { steps(most) };
        let place = |value: f64| if self.logarithmic { value.max(ticks[0]).log10() } else { value };
        let (low, high) = ends(ticks.iter().map(|tick| place(*tick)));
        let width = x_last - x_first;
        let x = Axis::new(x_first - 0.02 * width..x_last + 0.02 * width, self.x_ticks.clone());
        let y = Axis::new(low..high, ticks.iter().map(|tick| (place(*tick), label(*tick))).collect());
        let mut chart = ChartBuilder::on(area)
            .margin(MARGIN)
            .margin_top(HEAD)
            .x_label_area_size(64)
            .y_label_area_size(96)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(super::style::GREY)
            .label_style(text(20))
            .axis_desc_style(text(22))
            .x_desc(self.x_title)
            .y_desc(self.y_title)
            .draw()?;
        for series in &self.series {
            let points = series.points.iter().map(|point| (point.0, place(point.1)));
            chart.draw_series(LineSeries::new(points.clone(), series.colour.stroke_width(4)))?;
            chart.draw_series(points.map(|point| Circle::new(point, 6, series.colour.filled())))?;
        }
        Ok(())
    }
}

fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(value), most.max(value)))
}

/// 1, 2 and 5 of every power of ten, from below the least to above the most; only powers where those would be too many.
fn powers(least: f64, most: f64) -> Vec<f64> {
    // What was too little to be measured is no power of anything.
    let least = if least > 0.0 { least } else { most / 1000.0 };
    if !(least > 0.0 && most.is_finite()) {
        return vec![1.0, 10.0];
    }
    let exponents = least.log10().floor() as i32..=most.log10().ceil() as i32;
    let all: Vec<_> =
        exponents.flat_map(|exponent| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(exponent))).collect();
    let first = all.iter().rposition(|tick| *tick <= least).unwrap_or_default();
    let last = all.iter().position(|tick| *tick >= most).unwrap_or(all.len() - 1);
    all[first..=last].to_vec()
}

/// From nothing to above the most, in steps that one can count in.
fn steps(most: f64) -> Vec<f64> {
    if !(most > 0.0 && most.is_finite()) {
        return vec![0.0, 1.0];
    }
    let power = 10_f64.powf((most / 4.0).log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|step| most / step <= 6.0);
    let step = step.unwrap_or(10.0 * power);
    (0..=(most / step).ceil() as u32).map(|index| f64::from(index) * step).collect()
}

/// Of a tick: no digit that says nothing.
fn label(value: f64) -> String {
    if value >= 10.0 || value == 0.0 {
        number(value.round()).trim_end_matches(".00").trim_end_matches(".0").to_owned()
    } else {
        format!("{}", (value * 1e6).round() / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_enclose_what_is_shown() {
        assert_eq!(steps(110_900.0), [0.0, 20e3, 40e3, 60e3, 80e3, 100e3, 120e3]);
        assert_eq!(steps(90.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        let labels = |least, most| powers(least, most).into_iter().map(label).collect::<Vec<_>>().join(" ");
        assert_eq!(labels(0.13, 7.8), "0.1 0.2 0.5 1 2 5 10");
        assert_eq!(labels(0.02, 0.05), "0.02 0.05");
        assert_eq!(labels(0.0, 0.0), "1 10");
        assert_eq!(steps(0.0), [0.0, 1.0]);
        assert_eq!(labels(30.0, 1400.0), "20 50 100 200 500 1,000 2,000");
    }
}
