//! The storages that are open on this machine.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use cap_std::fs::Dir;
use imprint_agent_protocol::StorageRef;
use imprint_domain::id::StorageId;
use imprint_ports::{ErrorClass, PortError, Secrets, StorageBackend, StorageMarker};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::storage_folder::{Marking, StorageFolder, marker_name};
use crate::{
    ports::{FolderPlace, Ports},
    sync::lock,
};

/// The time that a folder has to open: a mount whose server is gone may hang for ever.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the folder is compared with its path while bytes are written.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// The time that a folder in use has to answer: as long as a server may take to come back.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The code of a folder that does not answer.
const NOT_ANSWERING: &str = "storage.not-answering";
/// The code of a storage that lacks its marker.
const NO_MARKER: &str = "storage.marker";

/// The problem of a storage whose file system is mounted read-only.
pub(crate) const READ_ONLY: &str = "the file system of the storage is mounted read-only: images can be deployed, and none \
                                    can be added; check its disk, and mount it read-write";

/// The storages by their ids.
#[derive(Default)]
pub(super) struct Storages {
    open: Mutex<HashMap<StorageId, OpenStorage>>,
    /// One permit for each storage: a folder that hangs holds one thread and not more.
    opening: Mutex<HashMap<StorageId, Arc<Semaphore>>>,
}

/// An open storage, and what it was opened with.
struct OpenStorage {
    with: StorageRef,
    folder: Option<Arc<StorageFolder>>,
    backend: Arc<dyn StorageBackend>,
    marked: bool,
}

/// A storage, as a job uses it.
#[derive(Clone)]
pub(crate) struct Storage {
    /// The plugin's port.
    pub(crate) backend: Arc<dyn StorageBackend>,
    folder: Option<Arc<StorageFolder>>,
    marked: bool,
}

impl Storages {
    /// Returns the storage. Its folder is opened anew and recognised by its marker; the plugin is
    /// opened once, and again when the settings or the folder have changed.
    pub(super) async fn get(
        &self,
        ports: &dyn Ports,
        wanted: &StorageRef,
        secrets: impl AsyncFnOnce() -> Result<Secrets, PortError>,
    ) -> Result<Storage, PortError> {
        // Once this process has seen the marker, a folder without it is another one.
        let seen = lock(&self.open).get(&wanted.id).is_some_and(|known| known.marked);
        let marking = if wanted.initialise && !seen { Marking::Allowed } else { Marking::Refused };
        let folder = match ports.storage_folder(wanted)? {
            Some(place) => Some(Arc::new(self.open_folder(wanted, place, marking).await?)),
            None => None,
        };
        if let Some(known) = self.known(wanted, folder.as_deref()) {
            return Ok(known);
        }
        let secrets = secrets().await?;
        let (backend, marked) = match &folder {
            Some(folder) => {
                (ports.storage(wanted, Some(folder.dir()), secrets, None).await?, folder.is_marked())
            }
            None => open_remote(ports, wanted, secrets, marking).await?,
        };
        let opened =
            OpenStorage { with: wanted.clone(), folder: folder.clone(), backend: backend.clone(), marked };
        lock(&self.open).insert(wanted.id, opened);
        Ok(Storage { backend, folder, marked })
    }

    /// Opens a storage for its connection test.
    pub(super) async fn open_for_test(
        &self,
        ports: &dyn Ports,
        tested: &StorageRef,
        secrets: Secrets,
    ) -> Result<Arc<dyn StorageBackend>, PortError> {
        let folder = self.folder_for_test(ports, tested).await?;
        let marker = if folder.is_some() { None } else { marker(tested.id, Marking::for_test(tested)) };
        ports.storage(tested, folder, secrets, marker).await
    }

    /// Opens the folder of a storage for its connection test.
    pub(super) async fn folder_for_test(
        &self,
        ports: &dyn Ports,
        tested: &StorageRef,
    ) -> Result<Option<Arc<Dir>>, PortError> {
        let marking = Marking::for_test(tested);
        match ports.storage_folder(tested)? {
            Some(place) => Ok(Some(self.open_folder(tested, place, marking).await?.dir())),
            None => Ok(None),
        }
    }

    fn known(&self, wanted: &StorageRef, folder: Option<&StorageFolder>) -> Option<Storage> {
        let open = lock(&self.open);
        let known = open.get(&wanted.id)?;
        let same_folder = match (&known.folder, folder) {
            (Some(known), Some(found)) => {
                known.is_same(found)
                    && known.is_read_only() == found.is_read_only()
                    && known.is_marked() == found.is_marked()
            }
            // One that could not be marked may have been meanwhile.
            (None, None) => known.marked,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let as_before = StorageRef { initialise: wanted.initialise, ..known.with.clone() };
        let same = same_folder && as_before == *wanted;
        same.then(|| Storage {
            backend: known.backend.clone(),
            folder: known.folder.clone(),
            marked: known.marked,
        })
    }

    async fn open_folder(
        &self,
        wanted: &StorageRef,
        place: FolderPlace,
        marking: Marking,
    ) -> Result<StorageFolder, PortError> {
        let semaphore =
            lock(&self.opening).entry(wanted.id).or_insert_with(|| Arc::new(Semaphore::new(1))).clone();
        let (id, path) = (wanted.id, place.path());
        let opened = async {
            let permit = semaphore.acquire_owned().await;
            let opening = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                StorageFolder::open(&place, id, marking)
            });
            opening.await.unwrap_or_else(|error| {
                Err(PortError::host(
                    ErrorClass::Internal,
                    "storage.path",
                    format!("a helper thread ended: {error}"),
                ))
            })
        };
        timeout(OPEN_TIMEOUT, opened).await.unwrap_or_else(|_| Err(not_answering(&path, OPEN_TIMEOUT)))
    }
}

impl Marking {
    /// Returns what a connection test needs. It leaves no marker: a storage that no agent has used
    /// yet may still be given up.
    fn for_test(tested: &StorageRef) -> Self {
        if tested.initialise { Self::NotNeeded } else { Self::Refused }
    }
}

/// Returns the marker for the plugin of a storage without a folder.
fn marker(id: StorageId, marking: Marking) -> Option<StorageMarker> {
    let is_required = match marking {
        Marking::NotNeeded => return None,
        Marking::Allowed => false,
        Marking::Refused => true,
    };
    Some(StorageMarker { name: marker_name(id), is_required })
}

/// Opens a storage without a folder, and returns whether one without its marker is another one from
/// now on. Plugins that have no marker take no notice of all this.
async fn open_remote(
    ports: &dyn Ports,
    wanted: &StorageRef,
    secrets: Secrets,
    marking: Marking,
) -> Result<(Arc<dyn StorageBackend>, bool), PortError> {
    let open =
        async |secrets, marking| ports.storage(wanted, None, secrets, marker(wanted.id, marking)).await;
    if marking != Marking::Allowed {
        return Ok((open(secrets, marking).await?, true));
    }
    // What the plugin is started with lasts, and all later work has to require the marker.
    let unmarked = open(secrets.clone(), Marking::Allowed).await?;
    match open(secrets, Marking::Refused).await {
        Ok(marked) => Ok((marked, true)),
        // It can only be read, so it has not been marked.
        Err(error) if error.cause() == NO_MARKER => Ok((unmarked, false)),
        Err(error) => Err(error),
    }
}

fn not_answering(path: &Path, limit: Duration) -> PortError {
    let text = format!(
        "the storage's folder {} does not answer within {} s; check its mount and its server",
        path.display(),
        limit.as_secs()
    );
    PortError::host(ErrorClass::Transient, NOT_ANSWERING, text)
}

impl Storage {
    /// Returns whether a folder without the marker is another one from now on.
    pub(crate) fn is_marked(&self) -> bool {
        self.marked
    }

    /// Returns whether the file system of the folder is mounted read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        self.folder.as_ref().is_some_and(|folder| folder.is_read_only())
    }

    /// Refuses a storage that nothing can be added to.
    ///
    /// # Errors
    ///
    /// Fails when the file system of the folder is mounted read-only.
    pub(crate) fn require_writable(&self) -> Result<(), PortError> {
        if self.is_read_only() {
            return Err(PortError::host(ErrorClass::Conflict, "storage.read-only", READ_ONLY));
        }
        Ok(())
    }

    /// Checks that the folder is still in its place: what is written goes there.
    ///
    /// # Errors
    ///
    /// Fails when another folder has taken its place, or the folder does not answer.
    pub(crate) async fn require_in_place(&self) -> Result<(), PortError> {
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        let path = folder.path().to_owned();
        let checking = tokio::task::spawn_blocking(move || folder.require_in_place());
        match timeout(ANSWER_TIMEOUT, checking).await {
            Ok(Ok(checked)) => checked,
            Ok(Err(error)) => Err(PortError::host(
                ErrorClass::Internal,
                "storage.path",
                format!("a helper thread ended: {error}"),
            )),
            Err(_) => Err(not_answering(&path, ANSWER_TIMEOUT)),
        }
    }

    /// Returns when the storage's folder does not answer any more.
    pub(crate) async fn until_silent(&self) -> PortError {
        loop {
            sleep(WATCH_INTERVAL).await;
            match self.require_in_place().await {
                Err(error) if error.code == NOT_ANSWERING => return error,
                Err(_) | Ok(()) => {}
            }
        }
    }

    /// Returns when another folder has taken the place of the storage's, or it does not answer,
    /// with what happened.
    pub(crate) async fn until_moved(&self) -> PortError {
        loop {
            sleep(WATCH_INTERVAL).await;
            if let Err(moved) = self.require_in_place().await {
                return moved;
            }
        }
    }
}
