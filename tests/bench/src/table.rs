//! Columns of text.

use std::fmt;

/// A table to be written to a terminal: the first column to the left, the others to the right.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(heads: [&str; N]) -> Self {
        Self { rows: vec![heads.map(str::to_owned).into()] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        // A column in which nothing stands is left out.
        let filled =
            |column: usize| self.rows.iter().skip(1).any(|row| row.get(column).is_some_and(|cell| !cell.is_empty()));
        let shown: Vec<_> = (0..columns).filter(|column| filled(*column)).collect();
        let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
        let width =
            |column: usize| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or_default();
        for row in &self.rows {
            let cells = shown.iter().map(|&column| {
                let width = width(column);
                if column == 0 { format!("{:width$}", cell(row, 0)) } else { format!("{:>width$}", cell(row, column)) }
            });
            writeln!(f, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// A number with as many digits as are worth reading, in groups of three; nothing for none.
pub(crate) fn number(value: f64) -> String {
    match value {
        value if !value.is_finite() => String::new(),
        value if value.abs() < 10.0 => format!("{value:.2}"),
        value if value.abs() < 1000.0 => format!("{value:.1}"),
        value => grouped(value.round() as i64),
    }
}

/// A whole number in groups of three.
pub(crate) fn grouped(value: i64) -> String {
    let digits = value.abs().to_string();
    let mut text = if value < 0 { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let values = [0.256, 9.994, 12.34, 999.94, 1000.4, 12_345.6, 1_234_567.0, f64::NAN];
        assert_eq!(values.map(number), ["0.26", "9.99", "12.3", "999.9", "1,000", "12,346", "1,234,567", ""]);
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut table = Table::new(["", "a", "empty", "µs"]);
        table.row(["first".into(), "1".into(), String::new(), "10".into()]);
        table.row(["x".into(), "1,000".into(), String::new(), "2".into()]);
        assert_eq!(table.to_string(), "             a  µs\n  first      1  10\n  x      1,000   2\n");
    }
}
