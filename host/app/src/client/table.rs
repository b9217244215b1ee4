//! Tables for terminals.

use std::fmt;

/// Columns with a heading, or lines of a name and a value.
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// What to say instead of an empty table.
    empty: &'static str,
}

impl Table {
    /// A list of things.
    pub(crate) fn list<const N: usize>(
        headings: [&'static str; N],
        rows: impl IntoIterator<Item = [String; N]>,
        empty: &'static str,
    ) -> Self {
        let rows = rows.into_iter().map(Vec::from).collect();
        Self { headings: headings.into(), rows, empty }
    }

    /// One thing, a line for each of its members.
    pub(crate) fn details(lines: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let rows = lines.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
        Self { headings: Vec::new(), rows, empty: "" }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return f.write_str(self.empty);
        }
        let headings = (!self.headings.is_empty())
            .then(|| self.headings.iter().map(|heading| (*heading).to_owned()).collect::<Vec<_>>());
        let lines: Vec<Vec<String>> = headings
            .into_iter()
            .chain(self.rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()))
            .collect();
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                lines.iter().filter_map(|line| line.get(column)).map(|cell| width(cell)).max().unwrap_or(0)
            })
            .collect();
        for line in &lines {
            let mut text = String::new();
            for (cell, column) in line.iter().zip(&widths) {
                text.push_str(cell);
                text.push_str(&" ".repeat(column.saturating_sub(width(cell)).saturating_add(2)));
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

fn width(cell: &str) -> usize {
    console::measure_text_width(cell)
}

/// What a server sends must not steer the terminal.
fn printable(cell: &str) -> String {
    cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["änderung".to_owned(), "1".to_owned()], ["b\u{1b}[2J".to_owned(), "22".to_owned()]];
        let table = Table::list(["NAME", "N"], rows, "none");
        assert_eq!(table.to_string(), "NAME      N\nänderung  1\nb [2J     22\n");
        assert_eq!(Table::list(["NAME"], [], "no images").to_string(), "no images");
        assert_eq!(Table::details([("id", "7".to_owned())]).to_string(), "id  7\n");
    }
}
