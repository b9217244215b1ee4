//! Tables for terminals.

use comfy_table::{ColumnConstraint, ContentArrangement, Row, presets};

use crate::terminal::printable;

/// Rows with headings, or lines of a name and a value.
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// The text that is printed instead of an empty list.
    empty: &'static str,
}

impl Table {
    /// A list with a row for each thing.
    pub(crate) fn list<const N: usize>(
        headings: [&'static str; N],
        rows: impl IntoIterator<Item = [String; N]>,
        empty: &'static str,
    ) -> Self {
        let rows = rows.into_iter().map(Vec::from).collect();
        Self { headings: headings.into(), rows, empty }
    }

    /// One thing, with a line for each of its members.
    pub(crate) fn details(lines: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let rows = lines.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
        Self { headings: Vec::new(), rows, empty: "" }
    }

    /// Returns the table as text. On a terminal of `width` columns the long cells of a list are
    /// cut, but not those of the last column, which holds the id. The values of details are never
    /// cut.
    pub(crate) fn render(&self, width: Option<u16>) -> String {
        if self.rows.is_empty() {
            return self.empty.to_owned();
        }
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_truncation_indicator("…");
        table.set_content_arrangement(ContentArrangement::Disabled);
        for row in &self.rows {
            let mut cells = Row::from(row.iter().map(|cell| one_line(cell)));
            cells.max_height(1);
            table.add_row(cells);
        }
        if let Some(last) = self.headings.len().checked_sub(1) {
            table.set_header(self.headings.iter().copied());
            if let Some(width) = width {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            }
            if let Some(column) = table.column_mut(last) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

fn one_line(cell: &str) -> String {
    printable(&cell.replace(['\n', '\r', '\t'], " "))
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["änderung".to_owned(), "1".to_owned()], ["b\u{1b}[2J\nc".to_owned(), "22".to_owned()]];
        let table = Table::list(["NAME", "N"], rows, "none");
        let text = "NAME      N\nänderung  1\nb\u{fffd}[2J c   22\n";
        assert_eq!(table.render(None), text);
        assert_eq!(table.render(Some(80)), text);
        assert_eq!(Table::list(["NAME"], [], "no images").render(None), "no images");
    }

    #[test]
    fn a_list_is_as_wide_as_the_terminal_and_ids_stay_whole() {
        let id = "img_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11";
        let rows = [["x".repeat(260), "available".to_owned(), id.to_owned()]];
        let table = Table::list(["NAME", "STATUS", "ID"], rows, "none");
        let text = table.render(Some(80));
        let row = text.lines().nth(1).unwrap();
        assert!(row.chars().count() <= 80 && row.contains('…') && row.ends_with(id), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(table.render(None).contains(&"x".repeat(260)), "nothing is cut without a terminal");
    }

    #[test]
    fn the_values_of_details_are_never_cut() {
        let table = Table::details([("id", "7".to_owned()), ("digest", "f".repeat(200))]);
        assert_eq!(table.render(Some(40)), format!("id      7\ndigest  {}\n", "f".repeat(200)));
    }
}
