//! Opening the backing chain of a stopped instance's disk.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use cap_std::fs::Dir;
use imprint_agent_protocol::InstanceRef;
use imprint_data_path::{
    Disk, EngineError, FileSource, OpenOptions, Resolved, Resolver,
    image_lock::{LockError, ReadLock},
};
use imprint_domain::task_error::TaskErrorCode;
use imprint_ports::{BlockSource, DiskFormat, ErrorClass, PortError, Props, SourceRef};

use crate::{
    error::JobError,
    jobs::{
        copy::{self, Place},
        layers::name::last_component,
    },
    machine::{
        Machine,
        instance::{disk_file, is_own_file},
    },
    sync::{blocking, lock},
};

/// The fact of an image that counts the snapshots inside it.
const SNAPSHOTS: &str = "internal-snapshots";

/// The disk of a stopped instance, over all of its layers. While the value exists, no other process
/// can open a layer for writing.
pub(crate) struct Chain {
    pub(crate) disk: Arc<Disk>,
    /// The file names of the layers below the top one, in their order.
    pub(crate) below: Vec<String>,
    /// Whether a layer holds snapshots, which a merge would lose.
    pub(crate) has_snapshots: bool,
    _locks: Vec<ReadLock>,
}

impl Chain {
    /// Opens and locks the disk of an instance with all layers.
    ///
    /// # Errors
    ///
    /// Fails when a layer is missing, in use, or cannot be read.
    pub(crate) async fn open(machine: &Arc<Machine>, instance: &InstanceRef) -> Result<Self, JobError> {
        let dir = machine.instance_dir(instance.id);
        let name = disk_file(instance.disk_format.as_str());
        let path = dir.file(&name);
        let top_lock = blocking(move || ReadLock::acquire(&path)).await?.map_err(lock_error)?;
        let format = machine.format(instance.disk_format.as_str())?;
        let file = copy::local(dir.folder(), &name)?;
        let resolver = Arc::new(LayerResolver {
            machine: machine.clone(),
            path: dir.folder().to_owned(),
            dir: file.dir.clone(),
            found: Mutex::default(),
        });
        let source = blocking(move || FileSource::open(&file.dir, &file.path)).await?;
        let source: Arc<dyn BlockSource> =
            Arc::new(source.map_err(|error| copy::job_error(error, Place::Machine))?);
        let options = OpenOptions { resolver: resolver.clone(), identity: name, ..OpenOptions::default() };
        let disk = Disk::open(format.as_ref(), source, &options).await;
        let disk = disk.map_err(|error| copy::job_error(error, Place::Machine))?;
        let Found { names, locks, has_snapshots } = std::mem::take(&mut *lock(&resolver.found));
        let locks = std::iter::once(top_lock).chain(locks).collect();
        let has_snapshots = has_snapshots || holds_snapshots(disk.facts());
        Ok(Self { disk: Arc::new(disk), below: names, has_snapshots, _locks: locks })
    }

    /// Returns whether the disk has more than one layer.
    pub(crate) fn is_chain(&self) -> bool {
        !self.below.is_empty()
    }
}

fn lock_error(error: LockError) -> JobError {
    match error {
        LockError::InUse => JobError::failed(TaskErrorCode::InstanceBusy, error),
        LockError::Io(error) => JobError::io("read the locks of the disk", &error),
    }
}

fn holds_snapshots(facts: &Props) -> bool {
    facts.get(SNAPSHOTS).is_some_and(|count| count != "0")
}

/// Finds the parents of layers in the folder of their instance.
struct LayerResolver {
    machine: Arc<Machine>,
    path: PathBuf,
    dir: Arc<Dir>,
    found: Mutex<Found>,
}

/// The layers that were found so far, from the top down.
#[derive(Default)]
struct Found {
    names: Vec<String>,
    locks: Vec<ReadLock>,
    has_snapshots: bool,
}

impl LayerResolver {
    /// Returns the format that a layer names for its parent. A guest cannot write there: what it
    /// writes is the layer's payload.
    fn format(&self, reference: &SourceRef) -> Result<Arc<dyn DiskFormat>, EngineError> {
        let name = reference.format_hint.as_deref().ok_or_else(|| EngineError::Unsupported {
            what: "a layer that does not name the format of its parent".to_owned(),
        })?;
        self.machine.format(name).map_err(|_| EngineError::Unsupported {
            what: format!("a parent of the format '{}'", name.escape_debug()),
        })
    }
}

#[async_trait]
impl Resolver for LayerResolver {
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
                Ok::<_, EngineError>((source, ReadLock::acquire(&path)))
            }
        });
        let (source, layer_lock) = match opened.await.map_err(|_| EngineError::WorkerLost)? {
            Ok(opened) => opened,
            Err(error) if error.class() == ErrorClass::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let layer_lock = layer_lock.map_err(|error| in_use(&error))?;
        let format = self.format(reference)?;
        let source: Arc<dyn BlockSource> = Arc::new(source);
        let facts = format.open(source.clone(), &Props::new()).await?.info().await?.facts;
        let mut found = lock(&self.found);
        found.has_snapshots |= holds_snapshots(&facts);
        found.locks.push(layer_lock);
        found.names.push(name.clone());
        drop(found);
        Ok(Some(Resolved { identity: name, source, format }))
    }
}

fn in_use(error: &LockError) -> EngineError {
    PortError::host(ErrorClass::Transient, TaskErrorCode::InstanceBusy.as_str(), error).into()
}
