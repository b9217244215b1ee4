//! The SDK's manifest stands alone, so that its crate builds outside of the workspace. What it
//! repeats is the same as in the workspace.

use std::{fs, path::Path};

use anyhow::Result;

/// The keys of a package that the SDK repeats.
const REPEATED: [&str; 4] = ["version", "edition", "rust-version", "license"];

/// Compares the two manifests.
pub(super) fn check(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let workspace = fs::read_to_string(root.join("Cargo.toml"))?;
    let sdk = fs::read_to_string(root.join("plugin-sdk/Cargo.toml"))?;
    findings.extend(differences(&workspace, &sdk));
    Ok(())
}

fn differences(workspace: &str, sdk: &str) -> Vec<String> {
    let mut found = Vec::new();
    if sdk.contains("workspace = true") || sdk.contains("path =") {
        found.push("plugin-sdk/Cargo.toml: it must not depend on the workspace".to_owned());
    }
    for key in REPEATED {
        let ours = value(workspace, "workspace.package", key);
        if ours.is_none() || ours != value(sdk, "package", key) {
            found.push(format!("plugin-sdk/Cargo.toml: `{key}` differs from that of the workspace"));
        }
    }
    for lints in ["lints.rust", "lints.rustdoc", "lints.clippy"] {
        let (ours, theirs) = (table(workspace, &format!("workspace.{lints}")), table(sdk, lints));
        if ours.is_empty() || ours != theirs {
            found.push(format!("plugin-sdk/Cargo.toml: `[{lints}]` differs from that of the workspace"));
        }
    }
    found
}

/// The lines of a table.
fn table<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let header = format!("[{name}]");
    let lines = text.lines().skip_while(|line| *line != header).skip(1);
    lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.is_empty()).collect()
}

fn value<'t>(text: &'t str, name: &str, key: &str) -> Option<&'t str> {
    let lines = table(text, name);
    lines.into_iter().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('=')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::differences;

    const TABLES: &str = "[lints.rust]\na = 1\n[lints.rustdoc]\nb = 1\n[lints.clippy]\nc = 1\n";

    fn package(name: &str, edition: &str) -> String {
        format!(
            "[{name}]\nversion = \"1\"\nedition = \"{edition}\"\nrust-version = \"1.95\"\nlicense = \"MIT\"\n"
        )
    }

    #[test]
    fn what_differs_is_named() {
        let workspace = format!(
            "{}{}",
            package("workspace.package", "2024"),
            TABLES.replace("[lints", "[workspace.lints")
        );
        let sdk = format!("{}{TABLES}", package("package", "2024"));
        assert_eq!(differences(&workspace, &sdk), Vec::<String>::new());
        let older = format!("{}{}", package("package", "2021"), TABLES.replace("c = 1", "c = 2"));
        let found = differences(&workspace, &older).join("\n");
        assert!(found.contains("`edition` differs") && found.contains("`[lints.clippy]` differs"), "{found}");
        let inherited = sdk.replace("license = \"MIT\"", "license.workspace = true");
        assert_eq!(differences(&workspace, &inherited).len(), 2);
    }
}
