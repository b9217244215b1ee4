//! The layers behind an instance's disk: a chain of files, each with the differences from the one
//! below (S39).
//!
//! A layer names its parent in untrusted text. Of that text only the last path component counts,
//! and it is looked up in the instance's own folder and nowhere else: no path from an image is ever
//! opened. The agent's own files there are no layers.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use cap_std::fs::Dir;
use imprint_agent_protocol::InstanceRef;
use imprint_data_path::{Disk, EngineError, FileSource, OpenOptions, Resolved, Resolver};
use imprint_domain::task_error::TaskErrorCode;
use imprint_ports::{BlockSource, DiskFormat, ErrorClass, PortError, Props, SourceRef};

use crate::{
    copy::{self, Place},
    error::Halt,
    instance::{Home, disk_file, is_own_file},
    job::Job,
    lock_probe::{LockError, ReadLock},
    machine::{Machine, blocking},
};

/// Fact of an image: how many snapshots it holds inside.
const SNAPSHOTS: &str = "internal-snapshots";
/// Longest name of a file, in bytes.
const MAX_NAME: usize = 255;

/// The disk of a stopped instance, over all of its layers. While it lives nobody can open a layer
/// for writing.
pub(crate) struct Chain {
    pub(crate) disk: Arc<Disk>,
    /// File names of the layers below the top, in their order.
    pub(crate) below: Vec<String>,
    /// A layer holds snapshots, which a merge would lose.
    pub(crate) has_snapshots: bool,
    _locks: Vec<ReadLock>,
}

impl Chain {
    /// Opens and locks the instance's disk with all layers.
    pub(crate) async fn open(job: &Job, instance: &InstanceRef) -> Result<Self, Halt> {
        let home = job.machine.home(instance.id);
        let name = disk_file(instance.disk_format.as_str());
        let path = home.file(&name);
        let lock = blocking(move || ReadLock::take(&path)).await?.map_err(locked)?;
        let format = job.machine.format(instance.disk_format.as_str())?;
        let file = copy::local(home.folder(), &name)?;
        let folder = Arc::new(Folder {
            machine: job.machine.clone(),
            path: home.folder().to_owned(),
            dir: file.dir.clone(),
            found: Mutex::default(),
        });
        let source = blocking(move || FileSource::open(&file.dir, &file.path)).await?;
        let source: Arc<dyn BlockSource> =
            Arc::new(source.map_err(|error| copy::halt(error, Place::Machine))?);
        let options = OpenOptions { resolver: folder.clone(), identity: name, ..OpenOptions::default() };
        let disk = Disk::open(format.as_ref(), source, &options).await;
        let disk = disk.map_err(|error| copy::halt(error, Place::Machine))?;
        let Found { names, locks, has_snapshots } = std::mem::take(&mut *folder.found());
        let locks = std::iter::once(lock).chain(locks).collect();
        let has_snapshots = has_snapshots || holds_snapshots(disk.facts());
        Ok(Self { disk: Arc::new(disk), below: names, has_snapshots, _locks: locks })
    }

    /// Whether there is more than one layer.
    pub(crate) fn is_chain(&self) -> bool {
        !self.below.is_empty()
    }
}

fn locked(error: LockError) -> Halt {
    match error {
        LockError::InUse => Halt::failed(TaskErrorCode::InstanceBusy, error),
        LockError::Io(error) => Halt::io("look at the disk's locks", &error),
    }
}

fn holds_snapshots(facts: &Props) -> bool {
    facts.get(SNAPSHOTS).is_some_and(|count| count != "0")
}

/// An instance's folder, as far as a chain may reach.
struct Folder {
    machine: Arc<Machine>,
    path: PathBuf,
    dir: Arc<Dir>,
    found: Mutex<Found>,
}

/// What was found on the way down.
#[derive(Default)]
struct Found {
    names: Vec<String>,
    locks: Vec<ReadLock>,
    has_snapshots: bool,
}

impl Folder {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The format that a layer names for its parent. A guest cannot write there: what it writes is
    /// the layer's payload.
    fn format(&self, reference: &SourceRef) -> Result<Arc<dyn DiskFormat>, EngineError> {
        let name = reference.format_hint.as_deref().ok_or_else(|| EngineError::Unsupported {
            what: "a layer that does not say which format its parent has".to_owned(),
        })?;
        self.machine.format(name).map_err(|_| EngineError::Unsupported {
            what: format!("a parent of the format '{}'", name.escape_debug()),
        })
    }
}

#[async_trait]
impl Resolver for Folder {
    async fn resolve(&self, reference: &SourceRef) -> Result<Option<Resolved>, EngineError> {
        let Some(name) = last_component(&reference.reference) else { return Ok(None) };
        if is_own_file(name) {
            return Ok(None);
        }
        let (dir, path, name) = (self.dir.clone(), self.path.join(name), name.to_owned());
        let opened = blocking({
            let name = name.clone();
            move || {
                let source = FileSource::open(&dir, &name)?;
                Ok::<_, EngineError>((source, ReadLock::take(&path)))
            }
        });
        let (source, lock) = match opened.await.map_err(|_| EngineError::WorkerLost)? {
            Ok(opened) => opened,
            Err(error) if error.class() == ErrorClass::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let lock = lock.map_err(|error| in_use(&error))?;
        let format = self.format(reference)?;
        let source: Arc<dyn BlockSource> = Arc::new(source);
        let facts = format.open(source.clone(), &Props::new()).await?.info().await?.facts;
        let mut found = self.found();
        found.has_snapshots |= holds_snapshots(&facts);
        found.locks.push(lock);
        found.names.push(name.clone());
        drop(found);
        Ok(Some(Resolved { identity: name, source, format }))
    }
}

fn in_use(error: &LockError) -> EngineError {
    PortError::host(ErrorClass::Transient, TaskErrorCode::InstanceBusy.as_str(), error).into()
}

/// The file name in a reference, whichever system wrote it; `None` where there is none.
pub(crate) fn last_component(reference: &str) -> Option<&str> {
    let name = reference.rsplit(['/', '\\']).next()?;
    let plain = !name.is_empty()
        && name.len() <= MAX_NAME
        && !matches!(name, "." | "..")
        && !name.chars().any(char::is_control);
    plain.then_some(name)
}

/// Formats whose files can name a parent.
const OF_CHAINS: [&str; 5] = ["qcow2", "vhd", "vhdx", "vmdk", "vdi"];

/// What a format judges a file by: its first and last bytes.
const HEAD: u32 = 64 * 1024;
const TAIL: u32 = 4 * 1024;

/// What the files of all instances refer to, each with what it names: to know which layers are
/// still needed.
#[derive(Debug, Default)]
pub(crate) struct References {
    /// Folder and name of each file, and the last components of what it refers to.
    by_file: BTreeMap<(PathBuf, String), Vec<String>>,
    /// Files that could not be read, and may refer to anything.
    pub(crate) unknown: Vec<PathBuf>,
}

impl References {
    /// Reads them.
    pub(crate) async fn read(machine: &Machine) -> Result<Self, Halt> {
        let folders = machine.folders.clone();
        let homes = blocking(move || Home::all(&folders)).await?;
        let mut references = Self::default();
        for home in homes {
            let folder = home.folder().to_owned();
            let listed = blocking(move || entries(&folder)).await?;
            let listed = listed.map_err(|error| Halt::io("look at the folder of an instance", &error))?;
            for entry in listed {
                references.add(machine, home.folder(), entry).await?;
            }
        }
        Ok(references)
    }

    async fn add(
        &mut self,
        machine: &Machine,
        folder: &Path,
        (name, kind): (String, Kind),
    ) -> Result<(), Halt> {
        let named = match kind {
            Kind::Link(target) => vec![target],
            Kind::Other => {
                self.unknown.push(folder.join(&name));
                return Ok(());
            }
            Kind::File => match parents(machine, folder, &name).await? {
                Some(named) => named,
                None => {
                    self.unknown.push(folder.join(&name));
                    return Ok(());
                }
            },
        };
        self.by_file.insert((folder.to_owned(), name), named);
        Ok(())
    }

    /// Of the `layers` in `folder`, which were below a disk that is one file now, those that
    /// nothing refers to any more.
    pub(crate) fn unneeded(&self, folder: &Path, layers: &[String]) -> Vec<String> {
        if !self.unknown.is_empty() {
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

/// What is in a folder.
#[derive(Debug)]
enum Kind {
    File,
    /// The last component of what it leads to.
    Link(String),
    Other,
}

/// Everything in an instance's folder but the agent's own files. Blocks.
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

/// The last components of what a file names as its parents; `None` when it cannot be read.
async fn parents(machine: &Machine, folder: &Path, name: &str) -> Result<Option<Vec<String>>, Halt> {
    let file = copy::local(folder, name)?;
    let opened = blocking(move || {
        let source = FileSource::open(&file.dir, &file.path)?;
        let edges = imprint_data_path::head_and_tail(&source, HEAD, TAIL)?;
        Ok::<_, EngineError>((source, edges))
    });
    let Ok((source, (head, tail))) = opened.await? else { return Ok(None) };
    let size = source.size();
    let source: Arc<dyn BlockSource> = Arc::new(source);
    for format in OF_CHAINS.iter().filter_map(|format| machine.format(format).ok()) {
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
