//! Granted directories in memory.

use std::collections::BTreeMap;

use super::{granted::Node, host::MockHost};
use crate::{
    error::{Error, Result},
    host::{DirEntry, DirListing, Dirs, Files, Replace, Space},
};

const MAX_ENTRIES: usize = 1000;
const MAX_BYTES: usize = 1 << 20;

impl MockHost {
    /// Grants an empty directory.
    pub fn grant_dir(&self, grant: &str) {
        self.dirs.borrow_mut().grants.entry(grant.to_owned()).or_default();
    }

    /// Puts a file below a granted directory, with the directories above it.
    pub fn put_file(&self, grant: &str, path: &str, size: u64) {
        let mut tree = self.dirs.borrow_mut();
        let nodes = tree.grants.entry(grant.to_owned()).or_default();
        for (at, _) in path.match_indices('/') {
            nodes.insert(path[..at].to_owned(), Node::Directory);
        }
        nodes.insert(path.to_owned(), Node::File { size, bytes: Vec::new() });
    }

    /// Every file below a granted directory.
    pub fn files(&self, grant: &str) -> Vec<String> {
        let tree = self.dirs.borrow();
        let nodes = tree.grants.get(grant).into_iter().flatten();
        nodes.filter(|(_, node)| matches!(node, Node::File { .. })).map(|(path, _)| path.clone()).collect()
    }

    /// Sets what `space` answers.
    pub fn set_space(&self, space: Space) {
        self.dirs.borrow_mut().space = Some(space);
    }

    fn with_grant<T>(
        &self,
        operation: &str,
        grant: &str,
        paths: &[&str],
        act: impl FnOnce(&mut BTreeMap<String, Node>) -> Result<T>,
    ) -> Result<T> {
        self.fault(operation)?;
        for path in paths {
            let bad = path.starts_with('/') || path.split('/').any(|part| part == ".." || part == ".");
            if bad {
                return Err(Error::denied("dirs.path", format!("path {path} is not below its grant")));
            }
        }
        let mut tree = self.dirs.borrow_mut();
        let nodes = tree.grants.get_mut(grant);
        act(nodes.ok_or_else(|| Error::denied("dirs.grant", format!("directory {grant} is not granted")))?)
    }
}

fn entry(name: &str, node: &Node) -> DirEntry {
    let (is_directory, size) = match node {
        Node::Directory => (true, 0),
        Node::File { size, .. } => (false, *size),
    };
    DirEntry { name: name.to_owned(), is_directory, size, allocated: size, modified_ms: 0 }
}

fn absent(path: &str) -> Error {
    Error::not_found("dirs.not-found", format!("{path} does not exist"))
}

impl Dirs for MockHost {
    fn stat(&self, grant: &str, path: &str) -> Result<DirEntry> {
        self.with_grant("stat", grant, &[path], |nodes| {
            let node = nodes.get(path).ok_or_else(|| absent(path))?;
            Ok(entry(path.rsplit('/').next().unwrap_or(path), node))
        })
    }

    fn list(&self, grant: &str, path: &str, resume: Option<&str>, max: u32) -> Result<DirListing> {
        self.with_grant("list", grant, &[path], |nodes| {
            if !path.is_empty() && !nodes.contains_key(path) {
                return Err(absent(path));
            }
            let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
            let mut entries: Vec<DirEntry> = nodes
                .iter()
                .filter_map(|(full, node)| Some((full.strip_prefix(&prefix)?, node)))
                .filter(|(name, _)| !name.is_empty() && !name.contains('/'))
                .filter(|(name, _)| resume.is_none_or(|after| *name > after))
                .map(|(name, node)| entry(name, node))
                .collect();
            let max = usize::try_from(max).unwrap_or(usize::MAX).clamp(1, MAX_ENTRIES);
            let more = entries.len() > max;
            entries.truncate(max);
            let resume = if more { entries.last().map(|last| last.name.clone()) } else { None };
            Ok(DirListing { entries, resume })
        })
    }

    fn create_directory(&self, grant: &str, path: &str) -> Result<()> {
        self.with_grant("create-directory", grant, &[path], |nodes| {
            if let Some((parent, _)) = path.rsplit_once('/')
                && !nodes.contains_key(parent)
            {
                return Err(absent(parent));
            }
            match nodes.entry(path.to_owned()).or_insert(Node::Directory) {
                Node::Directory => Ok(()),
                Node::File { .. } => Err(Error::already_exists("dirs.exists", format!("{path} is a file"))),
            }
        })
    }

    fn remove_file(&self, grant: &str, path: &str) -> Result<()> {
        self.with_grant("remove-file", grant, &[path], |nodes| match nodes.get(path) {
            Some(Node::Directory) => {
                Err(Error::conflict("dirs.is-directory", format!("{path} is a directory")))
            }
            Some(Node::File { .. }) | None => {
                nodes.remove(path);
                Ok(())
            }
        })
    }

    fn publish(&self, grant: &str, temporary: &str, final_path: &str, replace: Replace) -> Result<()> {
        self.with_grant("publish", grant, &[temporary, final_path], |nodes| {
            if nodes.contains_key(final_path) && replace == Replace::Refused {
                return Err(Error::already_exists("dirs.exists", format!("{final_path} exists")));
            }
            let node = nodes.remove(temporary).ok_or_else(|| absent(temporary))?;
            nodes.insert(final_path.to_owned(), node);
            Ok(())
        })
    }

    fn space(&self, grant: &str) -> Result<Space> {
        self.with_grant("space", grant, &[], |_| Ok(()))?;
        Ok(self.dirs.borrow().space.unwrap_or(Space { total: 1 << 40, available: 1 << 39 }))
    }
}

impl Files for MockHost {
    fn read_at(&self, grant: &str, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        let length = bounded(usize::try_from(length).unwrap_or(usize::MAX))?;
        self.with_grant("read-at", grant, &[path], |nodes| {
            let Some(Node::File { size, bytes }) = nodes.get(path) else { return Err(absent(path)) };
            let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let mut read: Vec<u8> = bytes[from..].iter().copied().take(length.min(left)).collect();
            read.resize(length.min(left), 0);
            Ok(read)
        })
    }

    fn write_at(&self, grant: &str, path: &str, offset: u64, new: &[u8]) -> Result<()> {
        bounded(new.len())?;
        self.with_grant("write-at", grant, &[path], |nodes| {
            let (size, bytes) = file(nodes, path)?;
            let from = usize::try_from(offset).map_err(|_| Error::limit("mock.offset", "too far"))?;
            bytes.resize(bytes.len().max(from + new.len()), 0);
            bytes[from..from + new.len()].copy_from_slice(new);
            *size = (*size).max(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            Ok(())
        })
    }

    fn set_size(&self, grant: &str, path: &str, new: u64) -> Result<()> {
        self.with_grant("set-size", grant, &[path], |nodes| {
            let (size, bytes) = file(nodes, path)?;
            bytes.truncate(usize::try_from(new).unwrap_or(usize::MAX));
            *size = new;
            Ok(())
        })
    }

    fn sync(&self, grant: &str, path: &str) -> Result<()> {
        self.with_grant("sync", grant, &[path], |nodes| nodes.get(path).map(drop).ok_or_else(|| absent(path)))
    }
}

fn bounded(length: usize) -> Result<usize> {
    if length > MAX_BYTES {
        return Err(Error::limit("files.length", "at most 1 MiB goes in one call"));
    }
    Ok(length)
}

/// A file, made when it is not there.
fn file<'a>(nodes: &'a mut BTreeMap<String, Node>, path: &str) -> Result<(&'a mut u64, &'a mut Vec<u8>)> {
    let new = Node::File { size: 0, bytes: Vec::new() };
    match nodes.entry(path.to_owned()).or_insert(new) {
        Node::File { size, bytes } => Ok((size, bytes)),
        Node::Directory => Err(Error::conflict("files.is-directory", format!("{path} is a directory"))),
    }
}
