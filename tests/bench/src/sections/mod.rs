//! The measurements, a file for each kind.

pub(crate) mod batch;
pub(crate) mod burst;
pub(crate) mod drain;
pub(crate) mod growth;
pub(crate) mod memory;
pub(crate) mod retries;
pub(crate) mod scale;
pub(crate) mod side_by_side;

/// Their names, in the order in which they are shown.
pub(crate) const NAMES: [&str; 7] = ["side-by-side", "burst", "retries", "batch", "scale", "growth", "memory"];

/// The section that a measurement is of: the first word of its name, but for those that stand side by side and begin with
/// their system's.
pub(crate) fn of(measurement: &str) -> &'static str {
    let first = measurement.split('.').next();
    NAMES.into_iter().find(|name| first == Some(name)).unwrap_or(NAMES[0])
}
