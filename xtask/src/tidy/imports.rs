//! Who may use which crate, ours and others: the import table of docs/ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::sh;

/// Who may use which of our crates. A crate that is not listed is an error: a new layer is a
/// decision.
const TABLE: &[(&str, &[&str])] = &[
    ("imprint-domain", &[]),
    ("imprint-ports", &["imprint-domain"]),
    ("imprint-http-client", &["imprint-ports"]),
    ("imprint-data-path", &["imprint-ports", "imprint-http-client"]),
    ("imprint-plugin-runtime", &["imprint-ports", "imprint-http-client"]),
    ("imprint-migrations", &[]),
    ("imprint-store", &["imprint-domain", "imprint-migrations"]),
    ("imprint-agent-protocol", &["imprint-domain"]),
    ("imprint-service", &["imprint-domain", "imprint-store", "imprint-agent-protocol"]),
    (
        "imprint-agent",
        &[
            "imprint-domain",
            "imprint-ports",
            "imprint-http-client",
            "imprint-data-path",
            "imprint-agent-protocol",
        ],
    ),
    ("imprint-api", &["imprint-domain", "imprint-service", "imprint-agent-protocol"]),
    ("imprint-plugin-sdk", &[]),
    ("imprint-format-kit", &["imprint-corpus", "imprint-plugin-sdk"]),
    ("xtask", &[]),
];

/// May use everything: the binary, and the whole-product tests.
const FREE: &[&str] = &["imprint", "imprint-tests", "imprint-ledger", "imprint-corpus"];

/// Which crates may name a library.
enum Rule {
    /// Only these, so that replacing the library stays the work of one crate.
    OnlyIn(&'static [&'static str]),
    /// All but these.
    NeverIn(&'static [&'static str]),
}

const CONFINED: &[(&str, Rule)] = &[
    ("wasmtime", Rule::OnlyIn(&["imprint-plugin-runtime"])),
    ("wasmtime-wasi", Rule::OnlyIn(&["imprint-plugin-runtime"])),
    ("ureq", Rule::OnlyIn(&["imprint-http-client"])),
    ("aws-sigv4", Rule::OnlyIn(&["imprint-plugin-runtime"])),
    ("sea-orm", Rule::OnlyIn(&["imprint-store", "imprint-migrations"])),
    ("sea-orm-migration", Rule::OnlyIn(&["imprint-migrations"])),
    ("axum", Rule::OnlyIn(&["imprint-api", "imprint-agent", "imprint"])),
    ("tokio", Rule::NeverIn(&["imprint-domain", "imprint-plugin-sdk"])),
];

impl Rule {
    fn permits(&self, name: &str) -> bool {
        match self {
            Self::OnlyIn(crates) => crates.contains(&name),
            Self::NeverIn(crates) => !crates.contains(&name),
        }
    }
}

/// Reports dependencies that the table does not have, and rows and edges of it that are not used.
pub(super) fn check(findings: &mut Vec<String>) -> Result<()> {
    let metadata = cargo_metadata::MetadataCommand::new().current_dir(sh::root()).no_deps().exec()?;
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let table: BTreeMap<&str, &[&str]> = TABLE.iter().copied().collect();
    let mut unused: BTreeSet<(&str, &str)> =
        TABLE.iter().flat_map(|(name, row)| row.iter().map(move |used| (*name, *used))).collect();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let plugin = package.manifest_path.as_str().contains("/plugins/")
            || package.manifest_path.as_str().contains("/hostile-plugins/");
        for dependency in &package.dependencies {
            // The table is about what is built into the product, not about what tests use.
            if dependency.kind != cargo_metadata::DependencyKind::Normal {
                continue;
            }
            let used = dependency.name.as_str();
            unused.remove(&(name, used));
            if ours.contains(used) && !allowed(name, used, plugin, &table) {
                findings.push(format!("{name} may not use {used} (import table in docs/ARCHITECTURE.md)"));
            }
            for (library, _) in CONFINED.iter().filter(|(_, rule)| !rule.permits(name)) {
                if used == *library {
                    findings.push(format!("{name} may not name {library}"));
                }
            }
        }
        if !plugin && !table.contains_key(name) && !FREE.contains(&name) {
            findings.push(format!("{name} has no row in the import table"));
        }
    }
    findings.extend(
        unused
            .iter()
            .map(|(name, used)| format!("the import table permits {name} to use {used}, and it does not")),
    );
    Ok(())
}

fn allowed(name: &str, used: &str, plugin: bool, table: &BTreeMap<&str, &[&str]>) -> bool {
    if plugin {
        return matches!(used, "imprint-plugin-sdk" | "imprint-path-storage");
    }
    FREE.contains(&name) || table.get(name).is_some_and(|row| row.contains(&used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_use_the_sdk_only_and_layers_only_those_below() {
        let table: BTreeMap<&str, &[&str]> = TABLE.iter().copied().collect();
        assert!(allowed("format-raw", "imprint-plugin-sdk", true, &table));
        assert!(allowed("storage-local", "imprint-path-storage", true, &table));
        assert!(!allowed("format-raw", "imprint-domain", true, &table));
        assert!(!allowed("imprint-service", "imprint-data-path", false, &table));
        assert!(!allowed("imprint-domain", "imprint-store", false, &table));
        assert!(allowed("imprint-api", "imprint-service", false, &table));
    }

    #[test]
    fn libraries_are_confined_to_crates_or_kept_out_of_them() {
        assert!(Rule::OnlyIn(&["a"]).permits("a") && !Rule::OnlyIn(&["a"]).permits("b"));
        assert!(!Rule::NeverIn(&["a"]).permits("a") && Rule::NeverIn(&["a"]).permits("b"));
    }
}
