//! The measurements, a file for each kind.

pub(crate) mod side_by_side;
