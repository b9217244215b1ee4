//! docs/REQUIREMENTS.md: every code that the sources name is listed there, and what is marked done
//! names a test that exists.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// The list, from the root of the workspace.
const LIST: &str = "docs/REQUIREMENTS.md";

/// How far a requirement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All of it is there, and tests show it.
    Done,
    /// Some of it is there.
    Partly,
    /// Nothing of it is there.
    Open,
}

/// A line of the list: `- **S1** done [`test`, `test`]: text`.
#[derive(Debug, PartialEq, Eq)]
struct Requirement<'a> {
    code: &'a str,
    state: State,
    tests: Vec<&'a str>,
}

/// Reports codes that are not listed, tests that do not exist, and requirements that are marked
/// done without one. `sources` are all files with their texts.
pub(super) fn check(root: &Path, sources: &[(PathBuf, String)], findings: &mut Vec<String>) {
    let Ok(list) = std::fs::read_to_string(root.join(LIST)) else {
        findings.push(format!("{LIST} is missing"));
        return;
    };
    let mut listed = BTreeMap::new();
    for (number, line) in list.lines().enumerate().filter(|(_, line)| line.starts_with("- **")) {
        match parse(line) {
            Some(requirement) => {
                if listed.insert(requirement.code, requirement).is_some() {
                    findings.push(format!("{LIST}:{}: the code is listed twice", number + 1));
                }
            }
            None => findings.push(format!(
                "{LIST}:{}: write `- **S1** done [`test`]: text`, with done, partly or open",
                number + 1
            )),
        }
    }
    let tests = tests(sources);
    for requirement in listed.values() {
        findings.extend(faults(requirement, &tests));
    }
    for (file, text) in sources {
        for (number, line) in text.lines().enumerate() {
            for code in codes(line).filter(|code| !listed.contains_key(code)) {
                findings.push(format!("{}:{}: {code} is not in {LIST}", file.display(), number + 1));
            }
        }
    }
}

fn parse(line: &str) -> Option<Requirement<'_>> {
    let (code, rest) = line.strip_prefix("- **")?.split_once("** ")?;
    let (state, rest) = rest.split_once([' ', ':'])?;
    let state = match state {
        "done" => State::Done,
        "partly" => State::Partly,
        "open" => State::Open,
        _ => return None,
    };
    let names = rest.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map_or("", |(names, _)| names);
    let tests = names.split('`').skip(1).step_by(2).collect();
    Some(Requirement { code, state, tests })
}

fn faults(requirement: &Requirement<'_>, tests: &BTreeSet<&str>) -> Vec<String> {
    let code = requirement.code;
    let mut faults: Vec<String> = requirement
        .tests
        .iter()
        .filter(|test| !tests.contains(*test))
        .map(|test| format!("{LIST}: {code} names `{test}`, which is no test"))
        .collect();
    if requirement.state == State::Done && requirement.tests.is_empty() {
        faults.push(format!("{LIST}: {code} is marked done and names no test"));
    }
    faults
}

/// The names of all tests: functions after `#[test]` and the like, scenarios that a macro runs on
/// both databases (`scenarios! { module { name, ... } }`), and titles of the panel's tests.
fn tests(sources: &[(PathBuf, String)]) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for (file, text) in sources {
        let is_rust = file.extension().is_some_and(|ending| ending == "rs");
        let scenarios = text.split_once("\nscenarios! {").and_then(|(_, rest)| rest.split("\n}").next());
        names.extend(scenarios.unwrap_or_default().lines().filter_map(|line| line.trim().strip_suffix(',')));
        let mut is_test = false;
        for line in text.lines().map(str::trim_start) {
            if is_rust {
                is_test |= line.starts_with("#[") && line.contains("test");
                let name = line.split_once("fn ").and_then(|(_, rest)| rest.split(['(', '<']).next());
                if let (true, Some(name)) = (is_test, name) {
                    names.insert(name);
                    is_test = false;
                }
            } else if let Some(title) = line.strip_prefix("test(").or(line.strip_prefix("it(")) {
                let quote = title.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'));
                names.extend(quote.and_then(|quote| title[1..].split(quote).next()));
            }
        }
    }
    names
}

/// The codes that a line names in parentheses, as `(S36 to S38, D9)` does.
fn codes(line: &str) -> impl Iterator<Item = &str> {
    line.split('(').skip(1).filter_map(|rest| rest.split(')').next()).flat_map(|inside| {
        let words = inside.split(|c: char| !c.is_ascii_alphanumeric());
        let first = inside.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        words.filter(move |word| is_code(first) && is_code(word))
    })
}

fn is_code(word: &str) -> bool {
    let mut chars = word.chars();
    matches!(chars.next(), Some('S' | 'D' | 'X'))
        && (2..=4).contains(&word.len())
        && chars.all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests_of_the_check {
    use super::*;

    #[test]
    fn a_line_is_read_with_its_state_and_tests() {
        let line = "- **S3** done [`a_test`, `a title, with words`]: Custom image (004).";
        let expected =
            Requirement { code: "S3", state: State::Done, tests: vec!["a_test", "a title, with words"] };
        assert_eq!(parse(line), Some(expected));
        let open = Requirement { code: "S4", state: State::Open, tests: vec![] };
        assert_eq!(parse("- **S4** open: ISO."), Some(open));
        assert_eq!(parse("- **S4** perhaps: ISO."), None);
    }

    #[test]
    fn codes_stand_in_parentheses_and_other_words_do_not_count() {
        assert_eq!(
            codes("/// Limits (S36 to S38, D9) of S3 (see X11 for S4).").collect::<Vec<_>>(),
            ["S36", "S38", "D9"]
        );
    }

    #[test]
    fn what_is_done_names_a_test_that_exists() {
        let source = (PathBuf::from("a.rs"), "#[test]\nfn it_works() {}\nfn helper() {}".to_owned());
        let both =
            (PathBuf::from("b.rs"), "\nscenarios! {\n    m {\n        on_both,\n    }\n}\n".to_owned());
        let panel = (PathBuf::from("a.spec.ts"), "test('it shows', () => {})".to_owned());
        let sources = [source, both, panel];
        let tests = tests(&sources);
        let check =
            |names| faults(&Requirement { code: "S1", state: State::Done, tests: names }, &tests).len();
        assert_eq!(
            (check(vec!["it_works", "it shows", "on_both"]), check(vec!["helper"]), check(vec![])),
            (0, 1, 1)
        );
    }
}
