//! Granted directories in memory. They refuse what the real host refuses, with the same codes.

use super::{
    granted::{Effect, Node, Nodes, Tree, absent, exists, full, is_directory, read_only, require_parent},
    host::MockHost,
};
use crate::{
    error::{Error, Result},
    host::{DirEntry, DirListing, Dirs, Files, Mount, Replace, Space},
};

const MAX_ENTRIES: usize = 1000;
const MAX_BYTES: usize = 1 << 20;

impl MockHost {
    /// Grants an empty directory for reading and writing.
    pub fn grant_dir(&self, grant: &str) {
        self.dirs.borrow_mut().grants.entry(grant.to_owned()).or_default();
    }

    /// Grants an empty directory for reading only.
    pub fn grant_dir_read_only(&self, grant: &str) {
        self.grant_dir(grant);
        self.dirs.borrow_mut().read_only_grants.insert(grant.to_owned());
    }

    /// Puts a file of zeroes below a granted directory, with the directories above it.
    pub fn put_file(&self, grant: &str, path: &str, size: u64) {
        self.put_node(grant, path, Node::File { size, bytes: Vec::new() });
    }

    /// Puts a file with these bytes below a granted directory, with the directories above it.
    pub fn put_bytes(&self, grant: &str, path: &str, bytes: &[u8]) {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.put_node(grant, path, Node::File { size, bytes: bytes.to_vec() });
    }

    fn put_node(&self, grant: &str, path: &str, node: Node) {
        let mut tree = self.dirs.borrow_mut();
        let nodes = tree.grants.entry(grant.to_owned()).or_default();
        for (at, _) in path.match_indices('/') {
            nodes.insert(path[..at].to_owned(), Node::Directory);
        }
        nodes.insert(path.to_owned(), node);
    }

    /// Every file below a granted directory.
    pub fn files(&self, grant: &str) -> Vec<String> {
        let tree = self.dirs.borrow();
        let nodes = tree.grants.get(grant).into_iter().flatten();
        nodes.filter(|(_, node)| matches!(node, Node::File { .. })).map(|(path, _)| path.clone()).collect()
    }

    /// Cuts every file below every granted directory to half of its length, as a fault of the disk
    /// or somebody else would.
    pub fn halve_files(&self) {
        if let Some(server) = &self.net.borrow().server {
            server.borrow_mut().halve_objects();
        }
        if let Some(medium) = self.medium() {
            medium.halve_files();
        }
        for node in self.dirs.borrow_mut().grants.values_mut().flat_map(Nodes::values_mut) {
            if let Node::File { size, bytes } = node {
                *size /= 2;
                bytes.truncate(usize::try_from(*size).unwrap_or(usize::MAX));
            }
        }
    }

    /// Sets what `space` answers.
    pub fn set_space(&self, space: Space) {
        self.dirs.borrow_mut().space = Some(space);
    }

    /// Sets how a granted directory is mounted. Without it, it is no mount point.
    pub fn set_mount(&self, grant: &str, mount: Mount) {
        self.dirs.borrow_mut().mounts.insert(grant.to_owned(), mount);
    }

    /// Fills the file system, or makes room again: what needs room fails with `storage.no-space`.
    pub fn set_full(&self, full_now: bool) {
        if let Some(server) = &self.net.borrow().server {
            server.borrow_mut().set_full(full_now);
        }
        self.dirs.borrow_mut().unwritable = full_now.then(full);
        if let Some(medium) = self.medium() {
            medium.set_full(full_now);
        }
    }

    /// Mounts the file system read-only, or read-write again: what changes it fails with
    /// `storage.read-only`.
    pub fn set_read_only(&self, read_only_now: bool) {
        self.dirs.borrow_mut().unwritable = read_only_now.then(read_only);
    }

    fn with_grant<T>(
        &self,
        operation: &str,
        grant: &str,
        paths: &[&str],
        effect: Effect,
        act: impl FnOnce(&mut Nodes) -> Result<T>,
    ) -> Result<T> {
        let lost = self.fault(operation)?;
        let done = act(self.dirs.borrow_mut().granted(grant, paths, effect)?);
        match lost {
            Some(error) if done.is_ok() => Err(error),
            _ => done,
        }
    }
}

fn entry(name: &str, node: &Node) -> DirEntry {
    let (is_directory, size) = match node {
        Node::Directory => (true, 0),
        Node::File { size, .. } => (false, *size),
    };
    DirEntry { name: name.to_owned(), is_directory, size, allocated: size, modified_ms: 0 }
}

impl Dirs for MockHost {
    fn stat(&self, grant: &str, path: &str) -> Result<DirEntry> {
        self.with_grant("stat", grant, &[path], Effect::Reads, |nodes| {
            let node = nodes.get(path).ok_or_else(|| absent(path))?;
            Ok(entry(path.rsplit('/').next().unwrap_or(path), node))
        })
    }

    fn list(&self, grant: &str, path: &str, resume: Option<&str>, max: u32) -> Result<DirListing> {
        let paths = [path];
        let checked: &[&str] = if path.is_empty() { &[] } else { &paths };
        self.with_grant("list", grant, checked, Effect::Reads, |nodes| {
            if !path.is_empty() && !matches!(nodes.get(path), Some(Node::Directory)) {
                return Err(absent(path));
            }
            let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
            let mut entries: Vec<DirEntry> = nodes
                .range(prefix.clone()..)
                .map_while(|(full, node)| Some((full.strip_prefix(&prefix)?, node)))
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
        let is_there = |tree: &Tree| {
            matches!(tree.grants.get(grant).and_then(|nodes| nodes.get(path)), Some(Node::Directory))
        };
        // The system says that a name is taken before it says that there is no room.
        let effect = if is_there(&self.dirs.borrow()) { Effect::Keeps } else { Effect::Adds };
        self.with_grant("create-directory", grant, &[path], effect, |nodes| {
            require_parent(nodes, path)?;
            match nodes.entry(path.to_owned()).or_insert(Node::Directory) {
                Node::Directory => Ok(()),
                Node::File { .. } => Err(exists(path)),
            }
        })
    }

    fn remove_file(&self, grant: &str, path: &str) -> Result<()> {
        self.with_grant("remove-file", grant, &[path], Effect::Changes, |nodes| match nodes.get(path) {
            Some(Node::Directory) => Err(is_directory(path)),
            Some(Node::File { .. }) | None => {
                nodes.remove(path);
                Ok(())
            }
        })
    }

    fn remove_directory(&self, grant: &str, path: &str) -> Result<()> {
        self.with_grant("remove-directory", grant, &[path], Effect::Changes, |nodes| match nodes.get(path) {
            None => Ok(()),
            Some(Node::File { .. }) => Err(absent(path)),
            Some(Node::Directory) => {
                let below = format!("{path}/");
                if nodes.range(below.clone()..).next().is_some_and(|(name, _)| name.starts_with(&below)) {
                    return Err(Error::conflict("dirs.not-empty", format!("{path} is not empty")));
                }
                nodes.remove(path);
                Ok(())
            }
        })
    }

    fn publish(&self, grant: &str, temporary: &str, final_path: &str, replace: Replace) -> Result<()> {
        self.with_grant("publish", grant, &[temporary, final_path], Effect::Changes, |nodes| {
            if !matches!(nodes.get(temporary), Some(Node::File { .. })) {
                return Err(absent(temporary));
            }
            require_parent(nodes, final_path)?;
            match (nodes.get(final_path), replace) {
                (Some(_), Replace::Refused) => return Err(exists(final_path)),
                (Some(Node::Directory), Replace::Allowed) => return Err(is_directory(final_path)),
                (Some(Node::File { .. }), Replace::Allowed) | (None, _) => {}
            }
            let node = nodes.remove(temporary).ok_or_else(|| absent(temporary))?;
            nodes.insert(final_path.to_owned(), node);
            Ok(())
        })
    }

    fn space(&self, grant: &str) -> Result<Space> {
        self.with_grant("space", grant, &[], Effect::Reads, |_| Ok(()))?;
        Ok(self.dirs.borrow().space.unwrap_or(Space { total: 1 << 40, available: 1 << 39 }))
    }

    fn mount(&self, grant: &str) -> Result<Mount> {
        self.with_grant("mount", grant, &[], Effect::Reads, |_| Ok(()))?;
        Ok(self.dirs.borrow().mounts.get(grant).cloned().unwrap_or_else(|| Mount {
            file_system: "mock".to_owned(),
            source: "mock".to_owned(),
            root: "/".to_owned(),
            inside: grant.to_owned(),
            options: "rw".to_owned(),
        }))
    }
}

impl Files for MockHost {
    fn read_at(&self, grant: &str, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        let length = bounded(usize::try_from(length).unwrap_or(usize::MAX))?;
        self.with_grant("read-at", grant, &[path], Effect::Reads, |nodes| {
            let (size, bytes) = match nodes.get(path) {
                Some(Node::File { size, bytes }) => (size, bytes),
                Some(Node::Directory) => return Err(is_directory(path)),
                None => return Err(absent(path)),
            };
            let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let mut read: Vec<u8> = bytes[from..].iter().copied().take(length.min(left)).collect();
            read.resize(length.min(left), 0);
            Ok(read)
        })
    }

    fn write_at(&self, grant: &str, path: &str, offset: u64, new: &[u8]) -> Result<()> {
        bounded(new.len())?;
        self.with_grant("write-at", grant, &[path], Effect::Adds, |nodes| {
            let (size, bytes) = file(nodes, path)?;
            if new.is_empty() {
                // The file exists now, and is as long as before.
                return Ok(());
            }
            let from = usize::try_from(offset).map_err(|_| Error::limit("mock.offset", "too far"))?;
            bytes.resize(bytes.len().max(from + new.len()), 0);
            bytes[from..from + new.len()].copy_from_slice(new);
            *size = (*size).max(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            Ok(())
        })
    }

    fn set_size(&self, grant: &str, path: &str, new: u64) -> Result<()> {
        self.with_grant("set-size", grant, &[path], Effect::Adds, |nodes| {
            let (size, bytes) = file(nodes, path)?;
            bytes.truncate(usize::try_from(new).unwrap_or(usize::MAX));
            *size = new;
            Ok(())
        })
    }

    fn sync(&self, grant: &str, path: &str) -> Result<()> {
        self.with_grant("sync", grant, &[path], Effect::Changes, |nodes| match nodes.get(path) {
            Some(Node::File { .. }) => Ok(()),
            Some(Node::Directory) => Err(is_directory(path)),
            None => Err(absent(path)),
        })
    }
}

fn bounded(length: usize) -> Result<usize> {
    if length > MAX_BYTES {
        return Err(Error::limit("files.length", "at most 1 MiB goes in one call"));
    }
    Ok(length)
}

/// A file, made when it is not there.
fn file<'a>(nodes: &'a mut Nodes, path: &str) -> Result<(&'a mut u64, &'a mut Vec<u8>)> {
    require_parent(nodes, path)?;
    let new = Node::File { size: 0, bytes: Vec::new() };
    match nodes.entry(path.to_owned()).or_insert(new) {
        Node::File { size, bytes } => Ok((size, bytes)),
        Node::Directory => Err(is_directory(path)),
    }
}
