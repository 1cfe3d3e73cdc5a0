//! What all plots have in common: the font, the colours, the title and the legend.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

/// In an SVG this is what the viewer has; in a PNG, and to measure with, what [`register`] says.
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 40, 40);
pub(super) const GRID: RGBColor = RGBColor(225, 225, 225);

pub(super) const GREY: RGBColor = RGBColor(130, 130, 130);
// Okabe and Ito's, which those who are colour-blind can tell apart too.
pub(super) const VERMILLION: RGBColor = RGBColor(213, 94, 0);
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(super) const GREEN: RGBColor = RGBColor(0, 158, 115);
pub(super) const PURPLE: RGBColor = RGBColor(204, 121, 167);
pub(super) const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub(super) const SKY: RGBColor = RGBColor(86, 180, 233);

/// Pixels at the top of a plot that title and legend take.
pub(super) const HEAD: i32 = 110;
pub(super) const MARGIN: i32 = 30;

/// No font need be installed.
pub(super) fn register() -> Result<()> {
    register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| anyhow!("the font is unreadable"))
}

pub(super) fn text(size: i32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

pub(super) fn centred(size: i32) -> TextStyle<'static> {
    text(size).pos(Pos::new(HPos::Center, VPos::Center))
}

/// Writes the title, and below it what the colours stand for.
pub(super) fn head<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    title: &str,
    legend: &[(String, RGBColor)],
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    area.draw(&Text::new(title.to_owned(), (MARGIN, 22), text(30)))?;
    let (mut x, y) = (MARGIN, 76);
    for (name, colour) in legend {
        area.draw(&Rectangle::new([(x, y), (x + 22, y + 16)], colour.filled()))?;
        let style = text(21);
        area.draw(&Text::new(name.clone(), (x + 30, y - 3), style.clone()))?;
        let width = area.estimate_text_size(name, &style)?.0;
        x += 30 + i32::try_from(width).unwrap_or_default() + 34;
    }
    Ok(())
}
