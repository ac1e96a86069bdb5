//! Rows of figures, for a terminal or as Markdown.

use std::io::Write;

/// A table; the first column is words, the others are figures.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn of(head: impl IntoIterator<Item = String>) -> Self {
        Self { rows: vec![head.into_iter().collect()] }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Writes it.
    ///
    /// # Errors
    /// What the output says.
    pub(super) fn write(&self, markdown: bool, out: &mut dyn Write) -> std::io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |n: usize| self.rows.iter().filter_map(|row| Some(row.get(n)?.chars().count())).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (n, row) in self.rows.iter().enumerate() {
            if markdown {
                writeln!(out, "| {} |", row.join(" | "))?;
                if n == 0 {
                    writeln!(out, "|{}", "---|".repeat(columns))?;
                }
                continue;
            }
            for (m, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if m == 0 { write!(out, "{cell:<width$}")? } else { write!(out, "  {cell:>width$}")? }
            }
            writeln!(out)?;
        }
        writeln!(out)
    }
}
