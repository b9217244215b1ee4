//! Words that do not come back: docs/GLOSSARY.md has the project's vocabulary, and these were used
//! instead of it, or are not plain technical English.

use std::path::{Path, PathBuf};

use super::tokens::{Tokens, Word};

/// Words that no identifier contains.
const IDENTIFIERS: &[&str] = &[
    "begun",
    "blame",
    "fate",
    "happening",
    "heard",
    "hears",
    "judge",
    "manner",
    "nobody",
    "patience",
    "somebody",
    "spoken",
    "strike",
    "tell",
    "teller",
    "tells",
    "told",
    "verdict",
    "vouches",
    "whoever",
    "whose",
    "wish",
];

/// Words and phrases that no text for users contains: error texts, help, the OpenAPI document, the
/// panel, the documentation.
const TEXTS: &[&str] = &[
    "begun",
    "bites its own tail",
    "fate",
    "floors",
    "for people",
    "goes on",
    "heard",
    "hears",
    "house",
    "lives by",
    "nobody",
    "not everything is well",
    "says of itself",
    "somebody",
    "told",
    "vouches",
    "whoever",
    "whose",
    "wish",
];

/// Reports such words in a Rust file: in its identifiers and, where it is no test, in its strings.
pub(super) fn check_rust(file: &Path, text: &str, is_test: bool, findings: &mut Vec<String>) {
    let tokens = match Tokens::of(text, true) {
        Ok(tokens) => tokens,
        Err(error) => {
            findings.push(format!("{}: {error}", file.display()));
            return;
        }
    };
    for word in &tokens.identifiers {
        if let Some(found) = words_of(&word.text).find(|part| IDENTIFIERS.contains(&part.as_str())) {
            findings.push(finding(file, word.line, &format!("`{}` contains `{found}`", word.text)));
        }
    }
    // What the tests of a file print is for developers.
    let strings = if is_test { Vec::new() } else { Tokens::of(text, false).unwrap_or_default().strings };
    for Word { text, line } in strings {
        findings
            .extend(phrase(&text).map(|found| finding(file, line, &format!("a text contains `{found}`"))));
    }
}

/// Reports such words in a text for users, line by line.
pub(super) fn check_text(file: &Path, text: &str, findings: &mut Vec<String>) {
    let lines = text.lines().enumerate();
    // Comments of the panel's sources are for developers.
    for (number, line) in lines.filter(|(_, line)| !is_comment(file, line)) {
        findings.extend(
            phrase(line).map(|found| finding(file, number + 1, &format!("the text contains `{found}`"))),
        );
    }
}

fn finding(file: &Path, line: usize, what: &str) -> String {
    format!("{}:{line}: {what}; say it in the words of docs/GLOSSARY.md", file.display())
}

fn is_comment(file: &Path, line: &str) -> bool {
    let is_script = file.extension().is_some_and(|ending| ending == "ts" || ending == "tsx");
    let line = line.trim_start();
    is_script && (line.starts_with("//") || line.starts_with('*') || line.starts_with("/*"))
}

/// The first phrase of [`TEXTS`] in a text.
fn phrase(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    TEXTS.iter().copied().find(|phrase| {
        text.match_indices(phrase).any(|(at, _)| {
            !is_letter(text[..at].chars().next_back()) && !is_letter(text[at + phrase.len()..].chars().next())
        })
    })
}

/// The words of an identifier: `snake_case`, `CamelCase` and `UPPER_CASE`.
fn words_of(identifier: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in identifier.chars() {
        let starts = c == '_' || (c.is_uppercase() && was_lower);
        if starts {
            words.push(String::new());
        }
        was_lower = c.is_lowercase() || c.is_numeric();
        if let Some(word) = words.last_mut().filter(|_| c != '_') {
            word.extend(c.to_lowercase());
        }
    }
    words.into_iter()
}

/// The texts for users that are no Rust: documentation, goldens of what users see, the panel.
pub(super) fn user_texts(root: &Path, all: &[PathBuf]) -> Vec<PathBuf> {
    let shown = |file: &Path| {
        let name = file.strip_prefix(root).unwrap_or(file);
        let ending = name.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let generated = name.ends_with("schema.d.ts") || name.to_string_lossy().contains(".test.");
        // The changelog and the list of requirements quote what was, and what others wrote.
        let quotes =
            ["docs/REQUIREMENTS.md", "CHANGELOG.md", "docs/GLOSSARY.md"].iter().any(|q| name.ends_with(q));
        let golden = name.starts_with("tests/golden") && matches!(ending, "json" | "txt" | "md");
        let panel = name.starts_with("web/src") && matches!(ending, "ts" | "tsx");
        !generated && !quotes && (golden || panel || matches!(ending, "md" | "wit"))
    };
    all.iter().filter(|file| shown(file)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_identifiers_and_texts_but_not_inside_of_others() {
        let mut findings = Vec::new();
        let text = "fn told() {}\nstruct WishList;\nfn tolded() { f(\"nobody knows\"); g(\"warehouse\") }\n";
        check_rust(Path::new("a.rs"), text, false, &mut findings);
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(findings[2].starts_with("a.rs:3"), "{findings:?}");
        findings.clear();
        check_text(Path::new("a.md"), "It lives by rules.\nIt works.", &mut findings);
        check_text(Path::new("a.ts"), "// nobody\nconst a = 'nobody';", &mut findings);
        assert_eq!(findings.len(), 2, "{findings:?}");
    }

    #[test]
    fn identifiers_are_split_at_underscores_and_capitals() {
        let words = |text| words_of(text).collect::<Vec<_>>();
        assert_eq!(words("TOLD_OF_MOVE"), ["told", "of", "move"]);
        assert_eq!(words("ConsistencyWish"), ["consistency", "wish"]);
    }
}
