//! ISOs: images of CDs that an admin registers from the files of a storage, and that customers
//! mount on their instances to boot from them or to install software (S4, S110, S111).

mod volume;

pub use self::volume::{InvalidVolume, SECTOR, VOLUME_BYTES, VOLUME_OFFSET, Volume, inspect};
pub use crate::iso_mount::IsoMount;
use crate::{
    digest::StoredDigest,
    error::{Code, Error},
    id::{IsoId, LocationId, StorageId, TaskId},
    instance::{Disk, Instance},
    location::Location,
    name::Name,
    size::ByteSize,
    string_enum::string_enum,
    time::Timestamp,
};

string_enum! {
    /// The status of an ISO.
    pub enum IsoStatus {
        /// Its file has not been read yet.
        Registering = "registering",
        /// It can be mounted.
        Available = "available",
        /// Its file could not be read, or is no image of a CD.
        Error = "error",
    }

    /// The family of the system that an ISO installs or starts.
    pub enum IsoOsType {
        /// Linux.
        Linux = "linux",
        /// Windows.
        Windows = "windows",
        /// A BSD.
        Bsd = "bsd",
        /// Anything else, such as a rescue system.
        Other = "other",
    }
}

/// What is known of the file of an ISO once it was read.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoredIso {
    /// The size of the file.
    pub size: ByteSize,
    /// The digest of the file.
    pub digest: StoredDigest,
    /// The label of the volume, which may be empty.
    pub label: String,
}

/// An ISO of a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iso {
    /// The ISO's id.
    pub id: IsoId,
    /// The location where it can be mounted.
    pub location_id: LocationId,
    /// The storage of role `iso` that holds its file.
    pub storage_id: StorageId,
    /// The key of the file in that storage.
    pub storage_key: String,
    /// The name, which is unique in the location.
    pub name: Name,
    /// Human-readable text.
    pub description: String,
    /// The family of its system, where the admin has said so.
    pub os_type: Option<IsoOsType>,
    /// Whether customers do not see it. Instances that have it mounted keep it.
    pub hidden: bool,
    /// The status.
    pub status: IsoStatus,
    /// What its file is, once it was read.
    pub stored: Option<StoredIso>,
    /// The task that reads its file.
    pub task_id: TaskId,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// The most disks of an instance, with the primary one.
pub const MAX_DISKS: usize = 8;
/// The smallest and the largest size of an empty disk, in bytes.
pub const EMPTY_DISK_BYTES: std::ops::RangeInclusive<u64> = (1 << 20)..=(64 << 40);

impl Iso {
    /// Returns whether customers see it.
    pub fn is_offered(&self) -> bool {
        self.status == IsoStatus::Available && !self.hidden
    }

    /// Refuses an ISO that cannot be mounted, and returns what its file is.
    ///
    /// # Errors
    ///
    /// [`Code::IsoNotAvailable`].
    pub fn require_available(&self) -> Result<&StoredIso, Error> {
        match (self.status, &self.stored) {
            (IsoStatus::Available, Some(stored)) => Ok(stored),
            (IsoStatus::Available | IsoStatus::Registering | IsoStatus::Error, _) => Err(Error::new(
                Code::IsoNotAvailable,
                format!("the ISO is {}; choose another one", self.status),
            )),
        }
    }
}

/// Decides whether an ISO can be mounted on an instance of that location.
///
/// # Errors
///
/// [`Code::IsoDisabled`] where the provider has not enabled it; [`Code::IsoNotAvailable`];
/// [`Code::InvalidRequest`] for an ISO of another location.
pub fn mount(iso: &Iso, location: &Location) -> Result<(), Error> {
    if !location.iso_enabled {
        return Err(Error::new(
            Code::IsoDisabled,
            "the provider has not enabled the mounting of ISOs for this location",
        ));
    }
    if iso.location_id != location.id {
        return Err(Error::new(
            Code::InvalidRequest,
            "the ISO is in another location than the instance; choose one of the instance's location",
        )
        .at("/iso_id"));
    }
    iso.require_available().map(|_| ())
}

/// Checks the size of an empty disk.
///
/// # Errors
///
/// [`Code::InvalidRequest`].
pub fn check_empty_disk(size: ByteSize, pointer: &str) -> Result<(), Error> {
    if EMPTY_DISK_BYTES.contains(&size.bytes()) && size.bytes().is_multiple_of(512) {
        return Ok(());
    }
    let detail = "an empty disk has 1 MiB to 64 TiB, in multiples of 512 bytes";
    Err(Error::new(Code::InvalidRequest, detail).at(pointer))
}

/// Decides whether another disk can be attached to an instance that has these.
///
/// # Errors
///
/// [`Code::DiskLimitReached`]; [`Code::InstanceBusy`] for an instance that is not ready.
pub fn attach_disk(instance: &Instance, disks: &[Disk]) -> Result<(), Error> {
    instance.require_ready()?;
    if disks.len() < MAX_DISKS {
        return Ok(());
    }
    Err(Error::new(Code::DiskLimitReached, "detach a disk that is not needed")
        .with("limit", MAX_DISKS)
        .with("used", disks.len()))
}

/// Decides whether a disk can be detached from an instance.
///
/// # Errors
///
/// [`Code::InvalidRequest`] for the primary disk; [`Code::InstanceBusy`] for an instance that is
/// not ready.
pub fn detach_disk(instance: &Instance, disk: &Disk) -> Result<(), Error> {
    instance.require_ready()?;
    if disk.primary {
        let detail = "the primary disk belongs to the instance; delete the instance instead";
        return Err(Error::new(Code::InvalidRequest, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
