//! Circles of modules: files of one crate that name each other in a loop.
//!
//! Rust permits them, but a reader who wants to understand one file of a circle has to read all of
//! it. A file names another one where a path of it, followed through the re-exports of the modules
//! on the way, ends there. `mod` declarations and tests do not count, nor does what a module names
//! of the modules that it is inside of: a folder is one unit, and its parts share what its own file
//! defines.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::tokens::Tokens;

/// The circles that stay, by the files of each, from the root of the workspace, and why.
const PERMITTED: &[(&[&str], &str)] = &[];

/// A module's path in its crate: empty for the root.
type Module = Vec<String>;

struct Source {
    file: PathBuf,
    tokens: Tokens,
}

/// A crate's modules by their paths.
#[derive(Default)]
struct Crate(BTreeMap<Module, Source>);

/// Reports the circles of all crates whose sources are among `files`.
pub(super) fn check(files: &[(PathBuf, String)], findings: &mut Vec<String>) {
    let mut crates: BTreeMap<PathBuf, Crate> = BTreeMap::new();
    for (file, text) in files {
        let Some((folder, module)) = place(file) else { continue };
        match Tokens::of(text, false) {
            Ok(tokens) => {
                crates.entry(folder).or_default().0.insert(module, Source { file: file.clone(), tokens });
            }
            Err(error) => findings.push(format!("{}: {error}", file.display())),
        }
    }
    let mut permitted: BTreeSet<String> = PERMITTED.iter().map(|(files, _)| files.join(", ")).collect();
    for found in crates.values().flat_map(Crate::circles) {
        let files: Vec<String> = found.iter().map(|file| file.display().to_string()).collect();
        let files = files.join(", ");
        if !permitted.remove(&files) {
            findings.push(format!("a circle of modules: {files}; move what they share below them"));
        }
    }
    findings.extend(permitted.iter().map(|gone| format!("the permitted circle {gone} is no longer there")));
}

/// The crate's folder and the module that a file of its `src` is; `None` for tests and programs.
fn place(file: &Path) -> Option<(PathBuf, Module)> {
    let text = file.to_str()?;
    let (folder, inside) = text.split_once("/src/")?;
    let mut module: Module = inside.strip_suffix(".rs")?.split('/').map(str::to_owned).collect();
    if module.iter().any(|name| name == "tests" || name.ends_with("_tests") || name == "bin") {
        return None;
    }
    if matches!(module.last().map(String::as_str), Some("lib" | "main" | "mod")) {
        module.pop();
    }
    Some((PathBuf::from(folder), module))
}

impl Crate {
    /// The circles, each as its files in order.
    fn circles(&self) -> Vec<Vec<PathBuf>> {
        let edges: BTreeMap<&Module, BTreeSet<&Module>> =
            self.0.iter().map(|(module, source)| (module, self.named_by(module, source))).collect();
        let reach: BTreeMap<&Module, BTreeSet<&Module>> =
            edges.keys().map(|module| (*module, reachable(module, &edges))).collect();
        let mut seen = BTreeSet::new();
        let mut circles = Vec::new();
        for (module, reached) in &reach {
            if !reached.contains(*module) || seen.contains(module) {
                continue;
            }
            let circle: Vec<&Module> =
                reached.iter().copied().filter(|other| reach[*other].contains(*module)).collect();
            seen.extend(circle.iter().copied());
            let mut files: Vec<PathBuf> =
                circle.iter().filter_map(|module| self.0.get(*module)).map(|s| s.file.clone()).collect();
            files.sort();
            circles.push(files);
        }
        circles
    }

    fn named_by<'a>(&'a self, module: &'a Module, source: &'a Source) -> BTreeSet<&'a Module> {
        let paths = source.tokens.paths.iter();
        let mut named: BTreeSet<&Module> =
            paths.filter_map(|path| self.resolve(module, source, path, 0)).collect();
        named.retain(|other| !module.starts_with(other));
        named
    }

    /// The module that the path's last item is defined in.
    fn resolve<'a>(
        &'a self,
        from: &'a Module,
        source: &'a Source,
        path: &[String],
        depth: u8,
    ) -> Option<&'a Module> {
        // No chain of re-exports is longer; a circle of them would be endless.
        const DEEPEST: u8 = 8;
        let first = path.first()?;
        let mut base: Module = match first.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => from.clone(),
            name => {
                let mut child = from.clone();
                child.push(name.to_owned());
                if self.0.contains_key(&child) {
                    from.clone()
                } else {
                    let (_, import) = source.tokens.imports.iter().find(|(known, _)| known == name)?;
                    if depth >= DEEPEST || import == path {
                        return None;
                    }
                    let mut whole = import.clone();
                    whole.extend(path.iter().skip(1).cloned());
                    return self.resolve(from, source, &whole, depth + 1);
                }
            }
        };
        let mut rest = path;
        while let Some(segment) = rest.first() {
            match segment.as_str() {
                "crate" | "self" => {}
                "super" => drop(base.pop()),
                name => {
                    base.push(name.to_owned());
                    if !self.0.contains_key(&base) {
                        base.pop();
                        break;
                    }
                }
            }
            rest = &rest[1..];
        }
        let (found, inside) = self.0.get_key_value(&base)?;
        // A re-export is followed to where the item is.
        let exported = rest
            .first()
            .and_then(|name| inside.tokens.imports.iter().find(|(known, _)| known == name))
            .filter(|_| found != from && depth < DEEPEST);
        match exported {
            Some((_, import)) => {
                let mut whole = import.clone();
                whole.extend(rest.iter().skip(1).cloned());
                self.resolve(found, inside, &whole, depth + 1).or(Some(found))
            }
            None => Some(found),
        }
    }
}

fn reachable<'a>(
    from: &'a Module,
    edges: &BTreeMap<&'a Module, BTreeSet<&'a Module>>,
) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Module> = vec![from];
    while let Some(module) = open.pop() {
        for next in edges.get(module).into_iter().flatten() {
            if reached.insert(*next) {
                open.push(next);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> =
            files.iter().map(|(file, text)| (PathBuf::from(file), (*text).to_owned())).collect();
        let mut findings = Vec::new();
        check(&files, &mut findings);
        findings.retain(|finding| finding.starts_with("a circle"));
        findings
    }

    #[test]
    fn a_module_and_its_parts_are_one_unit_and_siblings_are_not() {
        let child = ("a/src/agent/child.rs", "use super::State; pub fn run(_: State) {}");
        let parent = ("a/src/agent.rs", "mod child; pub struct State; fn f() { child::run(State) }");
        assert!(circles(&[parent, child]).is_empty());
        let sibling = ("a/src/child.rs", "use super::agent::State; pub fn run(_: State) {}");
        let user = ("a/src/agent.rs", "pub struct State; fn f() { crate::child::run(State) }");
        let found = circles(&[user, sibling]);
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn re_exports_are_followed_and_tests_do_not_count() {
        let files = [
            ("a/src/lib.rs", "mod x; mod y; pub use x::X;"),
            ("a/src/x.rs", "pub struct X; #[cfg(test)] mod tests { use crate::y::Y; }"),
            ("a/src/y.rs", "use crate::X; pub struct Y(X);"),
        ];
        assert!(circles(&files).is_empty(), "y uses x through the root; nothing leads back");
    }

    #[test]
    fn a_longer_circle_is_one_finding() {
        let files = [
            ("a/src/x.rs", "use crate::y::Y;"),
            ("a/src/y.rs", "use crate::{z::Z, other::Thing};"),
            ("a/src/z.rs", "fn f() { crate::x::g() }"),
            ("a/src/other.rs", "pub struct Thing;"),
        ];
        let found = circles(&files);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("a/src/x.rs, a/src/y.rs, a/src/z.rs;"), "{found:?}");
    }
}
