//! The folder of an image storage, and how it is recognised.
//!
//! A mount that is missing leaves an empty folder under the same path, and a mount over the folder
//! hides it: what is written then goes to the wrong place and is lost with the next mount. So every
//! folder has a marker, an empty-handed agent refuses a folder without one, and the device and the
//! inode of the path are compared with those of the open folder before and during every job.
//!
//! The marker is the file `.imprint-storage.ID` with the id of the storage. It is written once: by
//! the first agent that reports the storage, as long as the control plane says that no agent has
//! reported it yet. Its content is for people only. A storage without a folder has the same marker
//! where its plugin can have one ([`imprint_ports::StorageMarker`]).

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, MetadataExt},
};
use imprint_domain::id::StorageId;
use imprint_ports::{ErrorClass, PortError, RESERVED_NAMES, durable};
use rustix::fs::StatVfsMountFlags;
use tracing::{info, warn};

use super::mounts;
use crate::ports::FolderPlace;

/// Whether an agent may write the marker of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marking {
    /// No agent has reported the storage yet: this one may.
    Allowed,
    /// The marker must be there.
    Refused,
    /// The folder is only tried: it needs no marker and gets none, and its sub-folder may be
    /// missing.
    NotNeeded,
}

/// An open folder.
#[derive(Debug)]
pub(super) struct StorageFolder {
    path: PathBuf,
    dir: Arc<Dir>,
    device: u64,
    inode: u64,
    read_only: bool,
    marked: bool,
}

impl StorageFolder {
    /// Opens the folder and checks its marker, or writes it where that is allowed. Blocks.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be opened, or is not this storage's.
    pub(super) fn open(place: &FolderPlace, id: StorageId, marking: Marking) -> Result<Self, PortError> {
        let path = match marking {
            Marking::NotNeeded if !place.path().exists() => place.base.clone(),
            Marking::NotNeeded | Marking::Allowed | Marking::Refused => place.path(),
        };
        if marking == Marking::Allowed {
            make_sub_folder(place)?;
        }
        let dir =
            Dir::open_ambient_dir(&path, ambient_authority()).map_err(|error| not_open(&path, &error))?;
        let metadata = dir.dir_metadata().map_err(|error| not_open(&path, &error))?;
        let flags = rustix::fs::fstatvfs(&dir).map_err(|error| not_open(&path, &error.into()))?.f_flag;
        let mut folder = Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            read_only: flags.contains(StatVfsMountFlags::RDONLY),
            marked: false,
            dir: Arc::new(dir),
            path,
        };
        if marking != Marking::NotNeeded {
            folder.marked = folder.require_marker(id, marking)?;
        }
        Ok(folder)
    }

    /// Returns the path of the folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the handle of the folder, for the storage's plugin.
    pub(super) fn dir(&self) -> Arc<Dir> {
        self.dir.clone()
    }

    /// Returns whether the file system is mounted read-only.
    pub(super) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Returns whether the folder has its marker. One that has been mounted read-only since its
    /// first use has none: it is only read.
    pub(super) fn is_marked(&self) -> bool {
        self.marked
    }

    /// Returns whether both are the same folder of the same mounted file system.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Checks that the path still leads to the open folder. Blocks.
    ///
    /// # Errors
    ///
    /// Fails when something else is there now, or nothing.
    pub(super) fn require_in_place(&self) -> Result<(), PortError> {
        let path = self.path.display();
        let found = rustix::fs::stat(&self.path).map_err(io::Error::from);
        match found {
            Ok(found) if (found.st_dev, found.st_ino) == (self.device, self.inode) => Ok(()),
            Ok(_) => Err(PortError::host(
                ErrorClass::Transient,
                "storage.moved",
                format!(
                    "another folder has taken the place of {path}: it was mounted, unmounted or renamed during the \
                     work; mount or move it back"
                ),
            )),
            Err(error) => Err(PortError::host(
                ErrorClass::Transient,
                "storage.moved",
                format!("the storage's folder {path} has gone ({error}); mount or move it back"),
            )),
        }
    }

    /// Returns whether the folder has its marker; `false` where it cannot get one, and needs none
    /// yet.
    fn require_marker(&self, id: StorageId, marking: Marking) -> Result<bool, PortError> {
        let path = self.path.display();
        let unreadable = |error: &io::Error| {
            let text =
                format!("the marker of the storage in {path} cannot be read ({error}); check its disk");
            PortError::host(ErrorClass::Transient, "storage.path", text)
        };
        let name = marker_name(id);
        match self.dir.symlink_metadata(&name) {
            Ok(found) if found.is_file() => return Ok(true),
            Ok(_) => return Err(unreadable(&io::Error::other("it is no file"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&error)),
        }
        let others = self.other_markers().map_err(|error| unreadable(&error))?;
        if marking == Marking::Refused {
            return Err(self.without_marker(&name, &others));
        }
        if let Some(point) = mounts::unmounted_above(&self.path) {
            let text = format!(
                "/etc/fstab mounts {} and it is not mounted, so {path} is not the storage's folder; mount it",
                point.display()
            );
            return Err(PortError::host(ErrorClass::NotFound, "storage.not-mounted", text));
        }
        if !others.is_empty() {
            warn!(%path, storage = %id, ?others, "other storages keep their files in the same folder");
        }
        if self.read_only {
            return Ok(false);
        }
        self.write_marker(&name, id)?;
        Ok(true)
    }

    fn write_marker(&self, name: &str, id: StorageId) -> Result<(), PortError> {
        let path = self.path.display();
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let text = format!(
            "This folder is the image storage {id} of Imprint. It was first used on {machine}.\n\
             Without this file Imprint refuses the folder: it cannot tell it from that of a missing mount.\n"
        );
        durable::write(&self.dir, name, text.as_bytes()).map_err(|error| {
            let text = format!(
                "the marker {name} cannot be written to {path} ({error}); check the folder's mount and owner"
            );
            PortError::host(ErrorClass::Conflict, "storage.path", text)
        })?;
        info!(%path, storage = %id, "the folder was marked as this storage's");
        Ok(())
    }

    fn without_marker(&self, name: &str, others: &[String]) -> PortError {
        let path = self.path.display();
        let belongs = match others {
            [] => "is not the folder of this storage".to_owned(),
            others => format!("is the folder of another storage ({})", others.join(", ")),
        };
        let text = format!(
            "{path} {belongs}: it has no file {name}; mount what belongs there. If it is the right folder, because it was \
             restored or moved, make the file with `touch {path}/{name}`"
        );
        PortError::host(ErrorClass::Conflict, "storage.marker", text)
    }

    /// Returns the ids in the markers of other storages.
    fn other_markers(&self) -> io::Result<Vec<String>> {
        let mut ids = Vec::new();
        for entry in self.dir.entries()? {
            let name = entry?.file_name();
            ids.extend(name.to_str().and_then(|name| name.strip_prefix(RESERVED_NAMES)).map(str::to_owned));
        }
        ids.sort();
        Ok(ids)
    }
}

/// Returns the name of the marker of a storage.
pub(super) fn marker_name(id: StorageId) -> String {
    format!("{RESERVED_NAMES}{id}")
}

/// Makes the sub-folder of a storage that no agent has reported yet.
fn make_sub_folder(place: &FolderPlace) -> Result<(), PortError> {
    let Some(name) = &place.sub_folder else { return Ok(()) };
    let base = Dir::open_ambient_dir(&place.base, ambient_authority());
    let made = base.and_then(|base| match base.create_dir(name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    });
    made.map_err(|error| not_open(&place.path(), &error))
}

fn not_open(path: &Path, error: &io::Error) -> PortError {
    let text =
        format!("the storage's folder {} cannot be opened ({error}); make it or mount it", path.display());
    PortError::host(ErrorClass::NotFound, "storage.path", text).about_setting("path")
}

#[cfg(test)]
mod tests;
