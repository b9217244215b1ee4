//! The documented error codes are those that the sources have.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use imprint_plugin_runtime::Code;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The rows of the tables in the guide's section on codes: those with four columns are of the
/// runtime, those with two of the data path.
fn documented(columns: usize) -> Vec<String> {
    let guide = fs::read_to_string(workspace().join("docs/PLUGIN-AUTHOR.md")).unwrap();
    let (_, section) = guide.split_once("\n## Error codes\n").expect("the guide lists the codes");
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.filter(|row| row.matches(" | ").count() + 1 == columns).map(str::to_owned).collect()
}

/// The Rust sources below a folder, without tests.
fn sources(folder: &Path, texts: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.contains("test") {
            continue;
        }
        if path.is_dir() {
            sources(&path, texts);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(fs::read_to_string(&path).unwrap());
        }
    }
}

/// The codes `plugin.*` that are written out in a crate's sources.
fn written_out(crate_folder: &str) -> BTreeSet<String> {
    let mut texts = Vec::new();
    sources(&workspace().join(crate_folder).join("src"), &mut texts);
    let is_code = |text: &&str| text.chars().all(|c| c.is_ascii_lowercase() || c == '.' || c == '-');
    let literals = texts.iter().flat_map(|text| text.split('"').skip(1).step_by(2).filter(is_code));
    literals.filter(|text| text.starts_with("plugin.")).map(str::to_owned).collect()
}

/// The spelling in the contract.
fn kebab(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

#[test]
fn every_code_of_the_runtime_is_documented() {
    let row = |code: &Code| {
        let class = kebab(&format!("{:?}", code.class()));
        format!("| `{code}` | `{class}` | {} | {} |", code.meaning(), code.operator_action())
    };
    let expected: Vec<String> = Code::ALL.iter().map(row).collect();
    assert_eq!(documented(4), expected, "docs/PLUGIN-AUTHOR.md, \"Error codes\", has these rows");
}

#[test]
fn codes_are_unique() {
    let unique: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(unique.len(), Code::ALL.len());
}

#[test]
fn every_code_of_the_data_path_is_documented() {
    let code = |row: &String| row.split('`').nth(1).unwrap().to_owned();
    let known: BTreeSet<String> = documented(2).iter().map(code).collect();
    assert_eq!(known, written_out("host/data-path"));
}
