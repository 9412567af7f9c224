//! Tables for a terminal.

use std::fmt;

/// A table of left- and right-aligned columns, as wide as what is in them.
#[derive(Clone, Debug)]
pub struct Table {
    /// `true` for a column of numbers.
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this heading; a heading that begins with `>` makes its column right-aligned.
    pub fn new(heading: &[&str]) -> Self {
        Self {
            right: heading.iter().map(|h| h.starts_with('>')).collect(),
            rows: vec![heading.iter().map(|h| h.trim_start_matches('>').to_string()).collect()],
        }
    }

    /// One more row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..self.right.len()).map(width).collect();
        for (i, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).zip(&self.right);
            let line: Vec<_> = cells
                .map(|((cell, w), right)| if *right { format!("{cell:>w$}") } else { format!("{cell:<w$}") })
                .collect();
            writeln!(f, "{}", line.join("  ").trim_end())?;
            if i == 0 {
                writeln!(f, "{}", widths.iter().map(|w| "─".repeat(*w)).collect::<Vec<_>>().join("  "))?;
            }
        }
        Ok(())
    }
}

/// `1234567` as `1,234,567`.
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align() {
        let mut table = Table::new(&["layer", ">n"]);
        table.row(["C1", "156"]);
        table.row(["OUTPUT", "7"]);
        assert_eq!(table.to_string(), "layer     n\n──────  ───\nC1      156\nOUTPUT    7\n");
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!((thousands(0), thousands(999), thousands(60_850)), ("0".into(), "999".into(), "60,850".into()));
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
