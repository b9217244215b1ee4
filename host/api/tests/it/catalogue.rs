//! `docs/API.md` lists every code as the program knows it.

use imprint_domain::Code;

const DOCUMENT: &str = include_str!("../../../../docs/API.md");

#[test]
fn the_catalogue_lists_every_code() {
    let rows: Vec<Vec<&str>> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"))
        .map(|line| line.split(" | ").map(|cell| cell.trim_matches('`')).collect())
        .collect();
    for code in Code::ALL {
        let row = rows.iter().find(|row| row.first() == Some(&code.as_str()));
        let row = row.unwrap_or_else(|| panic!("docs/API.md does not list {}", code.as_str()));
        let status = imprint_api::status_of(code).as_u16().to_string();
        let retryable = if code.retryable() { "yes" } else { "no" };
        assert_eq!(row.get(1..4), Some(&[status.as_str(), code.title(), retryable][..]), "{}", code.as_str());
        assert!(
            row.len() == 6 && row[4..].iter().all(|cell| !cell.is_empty()),
            "{row:?}: what to do is missing"
        );
    }
    assert_eq!(rows.len(), Code::ALL.len(), "docs/API.md lists a code that does not exist");
}
