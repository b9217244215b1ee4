//! Listings in the order of the keys, which is not the order of the directories: `a-b` comes before
//! `a/b`, although the name `a` comes before the name `a-b`.

use std::collections::BTreeSet;

use imprint_plugin_sdk::{
    error::{ErrorClass, Result},
    host::DirEntry,
    storage::Object,
};

use crate::{
    key::{MAX_DEPTH, is_name},
    tree::{Tree, object},
};

/// Entries that the tree answers at once.
const PAGE: u32 = 1_000;

/// Collects the objects after `after` whose keys start with `prefix`, in ascending order of their
/// keys.
pub(crate) struct Walk<'a> {
    pub(crate) tree: &'a dyn Tree,
    pub(crate) prefix: &'a str,
    pub(crate) after: Option<&'a str>,
    /// The walk ends when it has found this many.
    pub(crate) limit: usize,
    pub(crate) found: Vec<Object>,
}

impl Walk<'_> {
    /// Walks everything below `path`, a directory whose name ends in `/`, or the tree itself
    /// (`""`).
    pub(crate) fn directory(&mut self, path: &str) -> Result<()> {
        if path.matches('/').count() > MAX_DEPTH {
            return Ok(());
        }
        // Directories wait here until the names have passed the place of their content.
        let mut waiting: BTreeSet<String> = BTreeSet::new();
        let mut resume = self.start(path);
        loop {
            let page = self.tree.list(path.trim_end_matches('/'), resume.as_deref(), PAGE)?;
            for entry in page.entries.into_iter().filter(|entry| is_name(&entry.name)) {
                while waiting.first().is_some_and(|first| *first < entry.name) {
                    self.enter(path, waiting.pop_first())?;
                }
                if self.is_full() {
                    return Ok(());
                }
                if entry.is_directory {
                    waiting.insert(format!("{}/", entry.name));
                } else {
                    self.file(path, &entry);
                }
            }
            resume = page.resume;
            if resume.is_none() {
                break;
            }
        }
        while !waiting.is_empty() && !self.is_full() {
            self.enter(path, waiting.pop_first())?;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.found.len() >= self.limit
    }

    fn file(&mut self, path: &str, entry: &DirEntry) {
        let key = format!("{path}{}", entry.name);
        let wanted = key.starts_with(self.prefix) && self.after.is_none_or(|after| key.as_str() > after);
        if wanted && !self.is_full() {
            self.found.push(object(key, entry));
        }
    }

    fn enter(&mut self, path: &str, name: Option<String>) -> Result<()> {
        let Some(name) = name else { return Ok(()) };
        let below = format!("{path}{name}");
        let prefix_meets = below.starts_with(self.prefix) || self.prefix.starts_with(&below);
        let passed = self.after.is_some_and(|after| after > below.as_str() && !after.starts_with(&below));
        if !prefix_meets || passed || self.is_full() {
            return Ok(());
        }
        match self.directory(&below) {
            // It went in between, or is not ours to read (`lost+found`): either way there are no
            // objects in it.
            Err(error) if matches!(error.class, ErrorClass::NotFound | ErrorClass::Denied) => {
                imprint_plugin_sdk::debug!("`{below}` is left out of the listing: {error}");
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// A name after which the tree's listing of `path` may begin without missing anything.
    fn start(&self, path: &str) -> Option<String> {
        let name = |bound: &str| {
            bound.strip_prefix(path).map(|rest| rest.split('/').next().unwrap_or(rest).to_owned())
        };
        let bounds = [self.after.and_then(name), name(self.prefix)];
        let bound = bounds.into_iter().flatten().max()?;
        // Directories whose names are shorter, up to a character that sorts before `/`, may hold
        // later keys.
        let end = bound.find(|c: char| c < '/').unwrap_or(bound.len());
        let mut start = bound.get(..end)?.to_owned();
        start.pop();
        (!start.is_empty()).then_some(start)
    }
}
