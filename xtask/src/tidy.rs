//! `cargo xtask tidy`: the import table of docs/ARCHITECTURE.md, and habits that lints cannot see.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Result, bail};

use crate::sh;

/// Who may use which of our crates. A crate that is not listed is an error: a new floor is a
/// decision.
const TABLE: &[(&str, &[&str])] = &[
    ("imprint-domain", &[]),
    ("imprint-data-path", &["imprint-domain"]),
    ("imprint-plugin-runtime", &["imprint-domain", "imprint-data-path"]),
    ("imprint-migrations", &[]),
    ("imprint-store", &["imprint-domain", "imprint-migrations"]),
    ("imprint-agent-protocol", &["imprint-domain"]),
    ("imprint-service", &["imprint-domain", "imprint-store", "imprint-agent-protocol"]),
    (
        "imprint-agent",
        &["imprint-domain", "imprint-data-path", "imprint-plugin-runtime", "imprint-agent-protocol"],
    ),
    ("imprint-api", &["imprint-domain", "imprint-service", "imprint-agent-protocol"]),
    ("imprint-plugin-sdk", &[]),
    ("imprint-format-kit", &["imprint-corpus", "imprint-plugin-sdk"]),
    ("xtask", &[]),
];

/// May use everything: the binary, and the whole-product tests.
const FREE: &[&str] = &["imprint", "imprint-tests", "imprint-ledger", "imprint-corpus"];

/// Libraries that only the named crates may name, so that replacing one stays the work of one
/// crate.
const CONFINED: &[(&str, &[&str])] = &[
    ("wasmtime", &["imprint-plugin-runtime"]),
    ("wasmtime-wasi", &["imprint-plugin-runtime"]),
    ("sea-orm", &["imprint-store", "imprint-migrations"]),
    ("sea-orm-migration", &["imprint-migrations"]),
    ("axum", &["imprint-api", "imprint-agent", "imprint"]),
    ("tokio", &["!imprint-domain", "!imprint-plugin-sdk"]),
];

/// Lines of code in a file, without the tests at its end.
const MAX_LINES: usize = 500;

/// Checks all of it; every finding is printed.
pub(crate) fn tidy() -> Result<()> {
    let mut findings = Vec::new();
    imports(&mut findings)?;
    for file in sources()? {
        let text = fs::read_to_string(&file)?;
        let name = file.strip_prefix(sh::root()).unwrap_or(&file).display().to_string();
        source(&name, &text, &mut findings);
    }
    top_level(&mut findings)?;
    for finding in &findings {
        sh::say(finding);
    }
    if findings.is_empty() { Ok(()) } else { bail!("{} findings", findings.len()) }
}

fn imports(findings: &mut Vec<String>) -> Result<()> {
    let metadata = cargo_metadata::MetadataCommand::new().current_dir(sh::root()).no_deps().exec()?;
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let table: BTreeMap<&str, &[&str]> = TABLE.iter().copied().collect();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let plugin = package.manifest_path.as_str().contains("/plugins/")
            || package.manifest_path.as_str().contains("/hostile-plugins/");
        for dependency in &package.dependencies {
            // What a crate's own tests use is not part of the house.
            if dependency.kind != cargo_metadata::DependencyKind::Normal {
                continue;
            }
            let used = dependency.name.as_str();
            if ours.contains(used) && !allowed(name, used, plugin, &table) {
                findings.push(format!("{name} may not use {used} (import table in docs/ARCHITECTURE.md)"));
            }
            for (library, who) in CONFINED {
                let named = who.contains(&name);
                let barred = who.contains(&format!("!{name}").as_str());
                let only = who.iter().all(|w| !w.starts_with('!'));
                if used == *library && (barred || (only && !named)) {
                    findings.push(format!("{name} may not name {library}"));
                }
            }
        }
        if !plugin && !table.contains_key(name) && !FREE.contains(&name) {
            findings.push(format!("{name} has no row in the import table"));
        }
    }
    Ok(())
}

fn allowed(name: &str, used: &str, plugin: bool, table: &BTreeMap<&str, &[&str]>) -> bool {
    if plugin {
        return used == "imprint-plugin-sdk";
    }
    FREE.contains(&name) || table.get(name).is_some_and(|row| row.contains(&used))
}

fn sources() -> Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for dir in ["host", "plugin-sdk", "plugins", "migrations", "tests", "xtask"] {
        let dir = sh::root().join(dir);
        if dir.is_dir() {
            files
                .extend(sh::files_below(&dir, &|name| matches!(name, "target" | "node_modules" | "golden"))?);
        }
    }
    files.retain(|file| file.extension().is_some_and(|e| e == "rs"));
    files.sort();
    Ok(files)
}

fn source(name: &str, text: &str, findings: &mut Vec<String>) {
    // The ledger is a program that runs in the guest, not a test.
    let is_test = (name.starts_with("tests/") && !name.starts_with("tests/ledger/"))
        || name.contains("/tests/")
        || name.ends_with("tests.rs");
    let code = text.split("\n#[cfg(test)]\n").next().unwrap_or(text);
    let lines = code.lines().count();
    if lines > MAX_LINES && !is_test {
        findings.push(format!(
            "{name}: {lines} lines without tests, at most {MAX_LINES}; split it by what it does"
        ));
    }
    for (number, line) in text.lines().enumerate() {
        let at = number + 1;
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
        if line.contains(concat!("thread::", "sleep")) && is_test && !line.contains("// waits") {
            findings.push(format!("{name}:{at}: tests wait for a condition, not for time"));
        }
    }
}

fn top_level(findings: &mut Vec<String>) -> Result<()> {
    const KNOWN: &[&str] = &[
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "README.md",
        "docs",
        "host",
        "migrations",
        "plugin-sdk",
        "plugins",
        "target",
        "tests",
        "web",
        "wit",
        "xtask",
    ];
    for entry in fs::read_dir(sh::root())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && !KNOWN.contains(&name.as_str()) {
            findings.push(format!("{name}: the top-level folders are fixed"));
        }
    }
    if !Path::new(&sh::root().join("LICENSE")).is_file() {
        findings.push("LICENSE is missing".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_see_the_sdk_only_and_the_floors_look_down() {
        let table: BTreeMap<&str, &[&str]> = TABLE.iter().copied().collect();
        assert!(allowed("format-raw", "imprint-plugin-sdk", true, &table));
        assert!(!allowed("format-raw", "imprint-domain", true, &table));
        assert!(!allowed("imprint-service", "imprint-data-path", false, &table));
        assert!(!allowed("imprint-domain", "imprint-store", false, &table));
        assert!(allowed("imprint-api", "imprint-service", false, &table));
    }

    #[test]
    fn long_files_and_notes_are_found_and_tests_at_the_end_do_not_count() {
        let mut findings = Vec::new();
        source(
            "host/a.rs",
            &format!("{}\n#[cfg(test)]\n{}", "x\n".repeat(499), "y\n".repeat(900)),
            &mut findings,
        );
        assert!(findings.is_empty(), "{findings:?}");
        source("host/a.rs", &"x\n".repeat(501), &mut findings);
        source("host/b.rs", concat!("// TO", "DO later"), &mut findings);
        assert_eq!(findings.len(), 2, "{findings:?}");
    }
}
