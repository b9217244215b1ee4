//! Plugins that are set aside, and what makes two plugins exclude each other.

use std::path::{Path, PathBuf};

use imprint_ports::error_chain;

use crate::{
    error::LoadError,
    manifest::{Kind, Manifest},
};

/// A file of the operator's folder that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The file.
    pub file: PathBuf,
    /// The plugin's id, where its manifest could be read.
    pub id: Option<String>,
    /// The reason, and what to do about it.
    pub reason: String,
}

impl Quarantined {
    /// Returns the finding for the operator: one line that names the file.
    pub fn finding(&self) -> String {
        format!("the plugin {} is not used: {}", self.file.display(), self.reason)
    }

    pub(crate) fn new(file: &Path, id: Option<&str>, error: &LoadError) -> Self {
        Self { file: file.to_owned(), id: id.map(str::to_owned), reason: error_chain(error) }
    }
}

/// The identity of a plugin, by which two of them exclude each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) provides: String,
}

impl Identity {
    pub(crate) fn of(manifest: &Manifest) -> Self {
        Self { id: manifest.id.clone(), kind: manifest.kind, provides: manifest.provides.clone() }
    }

    /// Returns whether both are found under the same name.
    pub(crate) fn provides_as(&self, other: &Self) -> bool {
        (self.kind, &self.provides) == (other.kind, &other.provides)
    }
}
