//! The page that the `type` of a problem links to: the meaning of each code, and what to do.

use std::fmt::Write as _;

use axum::http::{HeaderName, header};

/// The documentation of the API; its catalogue has a row for each code.
const CONVENTIONS: &str = include_str!("../../../../docs/API.md");

/// Serves the catalogue as a page, with an anchor for each code.
pub(crate) async fn page() -> ([(HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html())
}

fn html() -> String {
    let mut rows = String::new();
    for cells in catalogue() {
        let code = escape(cells.first().map_or("", |code| code));
        write!(rows, "<tr id=\"{code}\">").expect("writing to a string cannot fail");
        for cell in &cells {
            write!(rows, "<td>{}</td>", escape(cell)).expect("writing to a string cannot fail");
        }
        rows.push_str("</tr>\n");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Problems of the API</title>\n<h1>Problems of the API</h1>\n\
         <table>\n<tr><th>code</th><th>status</th><th>title</th><th>retry</th><th>the user</th><th>the operator</th></tr>\n\
         {rows}</table>\n</html>\n"
    )
}

/// Returns the cells of the catalogue's rows. Other sections have tables of their own.
fn catalogue() -> impl Iterator<Item = Vec<&'static str>> {
    CONVENTIONS
        .lines()
        .skip_while(|line| *line != "## Errors")
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"))
        .map(|line| line.split(" | ").map(|cell| cell.trim_matches('`')).collect())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('`', "")
}

#[cfg(test)]
mod tests {
    use imprint_domain::Code;

    use super::{catalogue, html};
    use crate::problem::status_of;

    #[test]
    fn the_catalogue_lists_every_code() {
        let rows: Vec<_> = catalogue().collect();
        for &code in Code::ALL {
            let row = rows.iter().find(|row| row.first() == Some(&code.as_str()));
            let row = row.unwrap_or_else(|| panic!("docs/API.md does not list {}", code.as_str()));
            let status = status_of(code).as_u16().to_string();
            let retryable = if code.retryable() { "yes" } else { "no" };
            assert_eq!(
                row.get(1..4),
                Some(&[status.as_str(), code.title(), retryable][..]),
                "{}",
                code.as_str()
            );
            assert!(
                row.len() == 6 && row.iter().all(|cell| !cell.is_empty()),
                "{row:?}: what to do is missing"
            );
        }
        assert_eq!(rows.len(), Code::ALL.len(), "docs/API.md lists a code that does not exist");
    }

    #[test]
    fn the_page_has_an_anchor_for_each_code() {
        let page = html();
        for &code in Code::ALL {
            assert!(page.contains(&format!("<tr id=\"{}\">", code.as_str())), "{}", code.as_str());
        }
    }
}
