//! The operator's folder of plugins. What cannot be used is quarantined: it is set aside with the
//! reason, and stops nothing else.
//!
//! The manifests of all files are read before any code is loaded, so that what a file contradicts
//! does not depend on the order of the names.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tracing::warn;

use crate::{
    error::LoadError,
    manifest::{Limits, Manifest, section},
    plugin::{PluginInfo, PluginSource},
    plugin_host::{PluginHost, check_size},
    quarantine::{Identity, Quarantined},
};

/// The components in one folder.
const MAX_FILES: usize = 200;

impl PluginHost {
    /// Loads every `*.wasm` of a folder, in the order of their names. A file that cannot be used is
    /// quarantined ([`Self::quarantined`]): it is no plugin or does not fit this host, it has the
    /// id or provides the same as another file, or it provides what a shipped plugin with another
    /// id does.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub async fn load_dir(&self, dir: &Path) -> Result<Vec<PluginInfo>, LoadError> {
        let files = component_files(dir).map_err(|source| LoadError::Io { path: dir.to_owned(), source })?;
        let mut refused = Vec::new();
        let mut found = BTreeMap::new();
        for file in files {
            match identify(file.clone(), self.caps()).await {
                Ok(identity) => drop(found.insert(file, identity)),
                Err(error) => refused.push(Quarantined::new(&file, None, &error)),
            }
        }
        let mut loaded = Vec::with_capacity(found.len());
        for (file, identity) in &found {
            let outcome = match self.conflict(file, identity, &found) {
                Some(conflict) => Err(conflict),
                None => self.load_file(file, identity).await,
            };
            match outcome {
                Ok(info) => loaded.push(info),
                Err(error) => refused.push(Quarantined::new(file, Some(&identity.id), &error)),
            }
        }
        refused.sort_by(|a, b| a.file.cmp(&b.file));
        for one in &refused {
            warn!(file = %one.file.display(), reason = one.reason, "plugin quarantined");
        }
        self.set_quarantined(refused);
        Ok(loaded)
    }

    /// Returns what excludes a plugin of the folder: another file, or a shipped plugin.
    fn conflict(
        &self,
        file: &Path,
        identity: &Identity,
        all: &BTreeMap<PathBuf, Identity>,
    ) -> Option<LoadError> {
        let others = |is_same: &dyn Fn(&Identity) -> bool| {
            let same = all.iter().filter(|(path, other)| path.as_path() != file && is_same(other));
            let names: Vec<_> =
                same.map(|(path, other)| format!("{} ({})", path.display(), other.id)).collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        if let Some(others) = others(&|other| other.id == identity.id) {
            return Some(LoadError::SameId { id: identity.id.clone(), others });
        }
        let kind = identity.kind.as_str();
        if let Some(others) = others(&|other| other.provides_as(identity)) {
            return Some(LoadError::SameName { kind, provides: identity.provides.clone(), others });
        }
        let shipped = self.shipped();
        let replaced = shipped.iter().find(|shipped| shipped.id == identity.id);
        if let Some(replaced) = replaced.filter(|replaced| !replaced.provides_as(identity)) {
            return Some(LoadError::Replaces {
                id: identity.id.clone(),
                shipped: format!("the {} {}", replaced.kind.as_str(), replaced.provides),
                found: format!("the {kind} {}", identity.provides),
            });
        }
        let taken = shipped.iter().find(|shipped| shipped.provides_as(identity) && shipped.id != identity.id);
        taken.map(|shipped| LoadError::ProvidedByShipped {
            kind,
            provides: identity.provides.clone(),
            shipped: shipped.id.clone(),
        })
    }

    async fn load_file(&self, file: &Path, expected: &Identity) -> Result<PluginInfo, LoadError> {
        let bytes = read(file.to_owned()).await?;
        if Identity::of(&Manifest::parse(section::find(&bytes)?, self.caps())?) != *expected {
            return Err(LoadError::manifest("the file was replaced while it was loaded; restart Imprint"));
        }
        self.load_component(&bytes, PluginSource::File(file.to_owned())).await
    }
}

async fn identify(file: PathBuf, caps: &Limits) -> Result<Identity, LoadError> {
    let bytes = read(file).await?;
    Ok(Identity::of(&Manifest::parse(section::find(&bytes)?, caps)?))
}

/// Reads a file of at most the largest size of a component.
async fn read(path: PathBuf) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Io { path: path.clone(), source };
    let metadata = tokio::fs::metadata(&path).await.map_err(failed)?;
    if !metadata.is_file() {
        return Err(LoadError::NotAComponent("it is no file".to_owned()));
    }
    check_size(usize::try_from(metadata.len()).unwrap_or(usize::MAX))?;
    tokio::fs::read(&path).await.map_err(failed)
}

fn component_files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(std::io::Error::other(format!("more than {MAX_FILES} plugins in one folder")));
        }
    }
    files.sort();
    Ok(files)
}
