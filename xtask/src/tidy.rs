//! `cargo xtask tidy`: the import table of docs/ARCHITECTURE.md, the words of docs/GLOSSARY.md, the
//! codes of docs/REQUIREMENTS.md, and habits that lints cannot see.

mod circles;
mod imports;
mod requirements;
mod sdk;
mod source;
mod tokens;
mod words;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::sh;

/// Checks all of it; every finding is printed.
pub(crate) fn tidy() -> Result<()> {
    let mut findings = Vec::new();
    let root = sh::root();
    let files = files()?;
    imports::check(&mut findings)?;
    let rust = read(&files, &root, &["rs"])?;
    for (file, text) in &rust {
        let name = file.display().to_string();
        source::check(&name, text, &mut findings);
        // The list of words itself, and what shows that it works, hold these words.
        if !name.ends_with("tidy/words.rs") {
            words::check_rust(file, text, source::is_test(&name), &mut findings);
        }
    }
    circles::check(&rust, &mut findings);
    for file in words::user_texts(&root, &files) {
        let name = file.strip_prefix(&root).unwrap_or(&file);
        words::check_text(name, &fs::read_to_string(&file)?, &mut findings);
    }
    let sources = read(&files, &root, &["rs", "ts", "tsx"])?;
    requirements::check(&root, &sources, &mut findings);
    sdk::check(&root, &mut findings)?;
    top_level(&mut findings)?;
    for finding in &findings {
        sh::say(finding);
    }
    if findings.is_empty() { Ok(()) } else { bail!("{} findings", findings.len()) }
}

/// All files of the project but what is built.
fn files() -> Result<Vec<PathBuf>> {
    let built = |name: &str| {
        matches!(name, "target" | "node_modules" | "dist" | "test-results" | "playwright-report")
            || (name.starts_with('.') && !matches!(name, ".ci" | ".config" | ".cargo"))
    };
    let mut files = sh::files_below(&sh::root(), &built)?;
    files.sort();
    Ok(files)
}

/// The files of these kinds with their texts, named from the root.
fn read(files: &[PathBuf], root: &Path, endings: &[&str]) -> Result<Vec<(PathBuf, String)>> {
    let mut texts = Vec::new();
    for file in files {
        if file.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)) {
            let name = file.strip_prefix(root).unwrap_or(file).to_path_buf();
            texts.push((name, fs::read_to_string(file)?));
        }
    }
    Ok(texts)
}

fn top_level(findings: &mut Vec<String>) -> Result<()> {
    const KNOWN: &[&str] = &[
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "SECURITY.md",
        "deny.toml",
        "docs",
        "host",
        "migrations",
        "plugin-sdk",
        "plugins",
        "rust-toolchain.toml",
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
    for file in ["LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"] {
        if !sh::root().join(file).is_file() {
            findings.push(format!("{file} is missing"));
        }
    }
    Ok(())
}
