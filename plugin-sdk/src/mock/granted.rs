//! What is in granted directories, and how their operations fail.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    error::{Error, ErrorClass, Result},
    host::{Mount, Space},
};

/// The longest path of the real host in bytes, and its most parts.
const MAX_PATH: usize = 1024;
/// See [`MAX_PATH`].
const MAX_PARTS: usize = 32;
/// The longest name that file systems hold.
const MAX_NAME: usize = 255;
/// The start of the names that belong to the host.
const RESERVED: &str = ".imprint-storage.";

pub(super) enum Node {
    Directory,
    /// What `bytes` does not have reads as zeroes.
    File {
        size: u64,
        bytes: Vec<u8>,
    },
}

pub(super) type Nodes = BTreeMap<String, Node>;

#[derive(Default)]
pub(super) struct Tree {
    pub(super) grants: BTreeMap<String, Nodes>,
    pub(super) read_only_grants: BTreeSet<String>,
    pub(super) space: Option<Space>,
    pub(super) mounts: BTreeMap<String, Mount>,
    /// What every operation that takes room or changes something fails with.
    pub(super) unwritable: Option<Error>,
}

/// Whether an operation changes a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Reads,
    /// Changes nothing that is there already, and needs a grant for writing.
    Keeps,
    /// Also what needs no room: removing.
    Changes,
    /// Needs room.
    Adds,
}

impl Tree {
    /// Returns what is below a grant, after the checks that the real host does first.
    pub(super) fn granted(&mut self, grant: &str, paths: &[&str], effect: Effect) -> Result<&mut Nodes> {
        let read_only = self.read_only_grants.contains(grant);
        let Some(nodes) = self.grants.get_mut(grant) else {
            return Err(denied(format!("directory {grant:?} is not granted")));
        };
        if effect != Effect::Reads && read_only {
            return Err(denied(format!("directory {grant} is granted for reading only")));
        }
        paths.iter().try_for_each(|path| check_path(path))?;
        match &self.unwritable {
            Some(error) if effect == Effect::Adds || (effect == Effect::Changes && is_read_only(error)) => {
                Err(error.clone())
            }
            _ => Ok(nodes),
        }
    }
}

fn is_read_only(error: &Error) -> bool {
    error.code == "storage.read-only"
}

/// The file system is full.
pub(super) fn full() -> Error {
    Error::limit("storage.no-space", "the file does not fit: the file system is full")
}

/// The file system is mounted read-only.
pub(super) fn read_only() -> Error {
    let text = "the file cannot be changed: the file system is mounted read-only";
    Error::new(ErrorClass::Conflict, "storage.read-only", text)
}

fn check_path(path: &str) -> Result<()> {
    let bad_part = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains('\0');
    if path.len() > MAX_PATH || path.split('/').count() > MAX_PARTS || path.split('/').any(bad_part) {
        return Err(denied(format!(
            "path {path:?} must be relative, without empty, `.` or `..` parts, at most {MAX_PATH} bytes and {MAX_PARTS} parts"
        )));
    }
    if path.starts_with(RESERVED) {
        return Err(denied(format!("names that begin with {RESERVED} belong to the host")));
    }
    if path.split('/').any(|part| part.len() > MAX_NAME) {
        let text = format!("{path} has a name that the file system cannot hold");
        return Err(Error::invalid_input("dirs.name", text));
    }
    Ok(())
}

fn denied(text: String) -> Error {
    Error::denied("plugin.denied", text)
}

pub(super) fn absent(path: &str) -> Error {
    Error::not_found("dirs.not-found", format!("{path} does not exist"))
}

pub(super) fn is_directory(path: &str) -> Error {
    Error::conflict("dirs.is-directory", format!("{path} is a directory"))
}

pub(super) fn exists(path: &str) -> Error {
    Error::already_exists("dirs.exists", format!("{path} exists already"))
}

/// Refuses a path whose directory does not exist.
pub(super) fn require_parent(nodes: &Nodes, path: &str) -> Result<()> {
    let Some((parent, _)) = path.rsplit_once('/') else { return Ok(()) };
    match nodes.get(parent) {
        Some(Node::Directory) => Ok(()),
        Some(Node::File { .. }) | None => Err(absent(path)),
    }
}
