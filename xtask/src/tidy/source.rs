//! Habits of single files that lints do not see.

/// Lines of code in a file, without the tests at its end.
const MAX_LINES: usize = 500;
/// Columns of a comment; rustfmt does not wrap them.
const MAX_COMMENT: usize = 100;

/// Whether a file, named from the root of the workspace, holds only tests and what they need.
pub(super) fn is_test(name: &str) -> bool {
    // The ledger is a program that runs in the guest, not a test.
    (name.starts_with("tests/") && !name.starts_with("tests/ledger/"))
        || name.contains("/tests/")
        || name.ends_with("tests.rs")
}

/// Reports what a Rust file should not have.
pub(super) fn check(name: &str, text: &str, findings: &mut Vec<String>) {
    let is_test = is_test(name);
    let lines = lines_without_tests(text);
    if lines > MAX_LINES && !is_test {
        findings.push(format!(
            "{name}: {lines} lines without tests, at most {MAX_LINES}; split it by what it does"
        ));
    }
    let mut is_listing = false;
    for (number, line) in text.lines().enumerate() {
        let at = number + 1;
        is_listing ^= comment_of(line).is_some_and(|comment| comment.starts_with("```"));
        if line.contains(concat!("TO", "DO")) || line.contains(concat!("FIX", "ME")) {
            findings.push(format!("{name}:{at}: a note to oneself belongs into an issue"));
        }
        if line.trim_start().starts_with(concat!("#[al", "low("))
            || line.trim_start().starts_with(concat!("#![al", "low("))
        {
            findings.push(format!("{name}:{at}: use #[expect(..., reason = \"...\")]"));
        }
        // What other tests start as a process of its own is marked so, in these words.
        if line.contains(concat!("#[ig", "nore"))
            && !line.contains(concat!("#[ig", "nore = \"run by other tests, in a process of its own\"]"))
        {
            findings.push(format!("{name}:{at}: a test runs, or it is not there"));
        }
        if !is_listing && is_too_wide(line) {
            findings.push(format!("{name}:{at}: a comment wraps at {MAX_COMMENT} columns"));
        }
        if line.contains(concat!("thread::", "sleep")) && is_test && !line.contains("// waits") {
            findings.push(format!("{name}:{at}: tests wait for a condition, not for time"));
        }
    }
}

/// Lines that are not part of an item under `#[cfg(test)]`, wherever in the file it stands.
fn lines_without_tests(text: &str) -> usize {
    let mut count = 0;
    let mut in_tests = false;
    for line in text.lines() {
        in_tests |= line == "#[cfg(test)]";
        count += usize::from(!in_tests);
        // The end of an item at the margin: its closing brace, or all of it on one line.
        in_tests &= !(line == "}" || (line.ends_with(';') && !line.starts_with(' ')));
    }
    count
}

/// The text of a line that is a comment.
fn comment_of(line: &str) -> Option<&str> {
    Some(line.trim_start().strip_prefix("//")?.trim_start_matches(['/', '!']).trim())
}

/// A comment that does not fit; tables, links and lines of one word cannot be wrapped.
fn is_too_wide(line: &str) -> bool {
    line.chars().count() > MAX_COMMENT
        && comment_of(line).is_some_and(|comment| {
            comment.contains(' ') && !comment.starts_with('|') && !comment.contains("://")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(name: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(name, text, &mut findings);
        findings
    }

    #[test]
    fn long_files_and_notes_are_found_and_tests_do_not_count() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    y();\n".repeat(900));
        assert!(findings("host/a.rs", &format!("{}{tests}", "x\n".repeat(499))).is_empty());
        assert_eq!(findings("host/a.rs", &"x\n".repeat(501)).len(), 1);
        assert_eq!(
            findings("host/a.rs", &format!("{tests}{}", "x\n".repeat(501))).len(),
            1,
            "after the tests"
        );
        assert_eq!(findings("host/b.rs", concat!("// TO", "DO later")).len(), 1);
    }

    #[test]
    fn wide_comments_are_found_unless_they_are_tables_or_links() {
        let wide = "word ".repeat(25);
        assert_eq!(findings("host/a.rs", &format!("    /// {wide}")).len(), 1);
        let listing = format!("// ```\n// {wide}\n// ```");
        assert!(findings("host/a.rs", &listing).is_empty());
        for fine in [format!("// | {wide}"), format!("// https://x {wide}"), format!("let x = \"{wide}\";")] {
            assert!(findings("host/a.rs", &fine).is_empty(), "{fine}");
        }
    }
}
