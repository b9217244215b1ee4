//! What the files of all instances refer to, to know which layers are still needed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use imprint_data_path::{EngineError, FileSource};
use imprint_ports::{BlockSource, Props};

use crate::{
    error::JobError,
    jobs::{copy, layers::name::last_component},
    machine::{
        Machine,
        instance::{InstanceDir, is_own_file},
    },
    sync::blocking,
};

/// The formats with files that can name a parent.
const CHAIN_FORMATS: [&str; 5] = ["qcow2", "vhd", "vhdx", "vmdk", "vdi"];

/// The number of bytes at the start and at the end of a file by which formats recognise it.
const HEAD_BYTES: u32 = 64 * 1024;
const TAIL_BYTES: u32 = 4 * 1024;

/// The references from the files of all instances to layers.
#[derive(Debug, Default)]
pub(crate) struct References {
    /// The last components of what each file refers to, by its folder and name.
    by_file: BTreeMap<(PathBuf, String), Vec<String>>,
    /// The files that could not be read, and may refer to anything.
    pub(crate) unreadable: Vec<PathBuf>,
}

impl References {
    /// Reads the references of every file in the folders of instances.
    ///
    /// # Errors
    ///
    /// Fails when a folder cannot be read.
    pub(crate) async fn read(machine: &Machine) -> Result<Self, JobError> {
        let folders = machine.folders.clone();
        let dirs = blocking(move || InstanceDir::all(&folders)).await?;
        let mut references = Self::default();
        for dir in dirs {
            let folder = dir.folder().to_owned();
            let listed = blocking(move || entries(&folder)).await?;
            let listed = listed.map_err(|error| JobError::io("read the folder of an instance", &error))?;
            for entry in listed {
                references.add(machine, dir.folder(), entry).await?;
            }
        }
        Ok(references)
    }

    async fn add(
        &mut self,
        machine: &Machine,
        folder: &Path,
        (name, kind): (String, Kind),
    ) -> Result<(), JobError> {
        let named = match kind {
            Kind::Link(target) => vec![target],
            Kind::Other => {
                self.unreadable.push(folder.join(&name));
                return Ok(());
            }
            Kind::File => match parents(machine, folder, &name).await? {
                Some(named) => named,
                None => {
                    self.unreadable.push(folder.join(&name));
                    return Ok(());
                }
            },
        };
        self.by_file.insert((folder.to_owned(), name), named);
        Ok(())
    }

    /// Returns those of the `layers` in `folder`, which were below a disk that is one file now,
    /// that no file refers to any more.
    pub(crate) fn unreferenced(&self, folder: &Path, layers: &[String]) -> Vec<String> {
        if !self.unreadable.is_empty() {
            return Vec::new();
        }
        let is_layer = |of: &Path, name: &String| of == folder && layers.contains(name);
        let roots = self.by_file.iter().filter(|((of, name), _)| !is_layer(of, name));
        let mut needed: Vec<&String> = roots.flat_map(|(_, named)| named).collect();
        let mut kept = Vec::new();
        while let Some(name) = needed.pop() {
            if layers.contains(name) && !kept.contains(&name) {
                kept.push(name);
                needed.extend(self.by_file.get(&(folder.to_owned(), name.clone())).into_iter().flatten());
            }
        }
        layers.iter().filter(|layer| !kept.contains(layer)).cloned().collect()
    }
}

/// The kind of an entry in a folder.
#[derive(Debug)]
enum Kind {
    File,
    /// A link, with the last component of its target.
    Link(String),
    Other,
}

/// Returns everything in an instance's folder except the agent's own files. Blocks.
fn entries(folder: &Path) -> std::io::Result<Vec<(String, Kind)>> {
    let mut listed = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_own_file(&name) {
            continue;
        }
        let file_type = entry.file_type()?;
        let kind = if file_type.is_file() {
            Kind::File
        } else if file_type.is_symlink() {
            let target = std::fs::read_link(entry.path())?;
            target.to_str().and_then(last_component).map_or(Kind::Other, |name| Kind::Link(name.to_owned()))
        } else {
            Kind::Other
        };
        listed.push((name, kind));
    }
    Ok(listed)
}

/// Returns the last components of what a file names as its parents; `None` when it cannot be read.
async fn parents(machine: &Machine, folder: &Path, name: &str) -> Result<Option<Vec<String>>, JobError> {
    let file = copy::local(folder, name)?;
    let opened = blocking(move || {
        let source = FileSource::open(&file.dir, &file.path)?;
        let edges = imprint_data_path::head_and_tail(&source, HEAD_BYTES, TAIL_BYTES)?;
        Ok::<_, EngineError>((source, edges))
    });
    let Ok((source, (head, tail))) = opened.await? else { return Ok(None) };
    let size = source.size();
    let source: Arc<dyn BlockSource> = Arc::new(source);
    for format in CHAIN_FORMATS.iter().filter_map(|format| machine.format(format).ok()) {
        let Ok(Some(guess)) = format.probe(&head, &tail, size).await else { continue };
        if guess.confidence <= 1 {
            continue;
        }
        let read = async { format.open(source.clone(), &Props::new()).await?.sources().await };
        let Ok(sources) = read.await else { return Ok(None) };
        let named = sources.iter().filter(|source| source.role != "primary");
        return Ok(named.map(|source| last_component(&source.reference).map(str::to_owned)).collect());
    }
    Ok(Some(Vec::new()))
}
