//! Images: stored copies of a disk that new instances are made from (S1).

pub mod catalogue;
mod edit;
mod inspected;
mod usage;

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use self::catalogue::{CatalogueEntry, GuestSystem};
pub use self::{edit::ImageEdit, usage::ImageUsage};
use crate::{
    consistency::Consistency,
    digest::{LogicalDigest, StoredDigest},
    error::{Code, Error},
    id::{AccountId, ImageId, InstanceId, LocationId, StorageId, TaskId},
    metadata::Metadata,
    name::Name,
    size::ByteSize,
    string_enum::string_enum,
    tag::Tags,
    time::Timestamp,
    transition::IllegalTransition,
};

string_enum! {
    /// The status of an image (D10; S52 to S55). There are exactly four; details are in its task.
    pub enum ImageStatus {
        /// "Image is being generated from the instance disk".
        Creating = "creating",
        /// "Image is ready to use for deployments".
        Available = "available",
        /// "Image creation failed -- check tasks for details".
        Error = "error",
        /// "Image is being removed".
        Deleting = "deleting",
    }

    /// The origin of an image.
    pub enum ImageKind {
        /// Captured by a customer from an instance: "My Images" (S3).
        Custom = "custom",
        /// Provided by the operator (S2).
        Stock = "stock",
    }

    /// The encoding of stored clusters.
    pub enum Compression {
        /// The bytes as they are.
        None = "none",
        /// Deflate.
        Zlib = "zlib",
        /// Zstandard.
        Zstd = "zstd",
    }

    /// The format of a disk image file. Captures are qcow2; stock images come in any of these.
    #[derive(PartialOrd, Ord)]
    pub enum ImageFormat {
        /// The bytes of the disk and nothing else.
        Raw = "raw",
        /// QEMU copy-on-write, version 2 or 3.
        Qcow2 = "qcow2",
        /// Virtual PC virtual hard disk.
        Vhd = "vhd",
        /// Hyper-V virtual hard disk, version 2.
        Vhdx = "vhdx",
        /// VMware virtual disk.
        Vmdk = "vmdk",
        /// VirtualBox disk image.
        Vdi = "vdi",
        /// Open virtual appliance: a TAR archive with a virtual disk.
        Ova = "ova",
    }
}

/// The properties of an image's bytes once they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    /// The size of the stored file in bytes: billed, and shown as Size (D1).
    pub size: ByteSize,
    /// The size in bytes of the disk that a guest sees.
    pub virtual_size: ByteSize,
    /// The format of the stored file.
    pub format: ImageFormat,
    /// The digest of the disk that a guest sees.
    pub logical_digest: LogicalDigest,
    /// The digest of the stored file.
    pub stored_digest: StoredDigest,
    /// How consistent the captured disk was; `None` for stock images.
    pub consistency: Option<Consistency>,
}

/// The instance that an image was captured from, which may have been removed since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSource {
    /// The instance's id.
    pub instance_id: InstanceId,
    /// The instance's name at the time of the capture.
    pub instance_name: String,
}

/// The parts of an image that are given when its slot is reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewImage {
    /// The image's id.
    pub id: ImageId,
    /// The account that owns it; an admin account for stock images.
    pub account_id: AccountId,
    /// The location where it can be used (S10).
    pub location_id: LocationId,
    /// The origin of the image.
    pub kind: ImageKind,
    /// The image's name.
    pub name: Name,
    /// Human-readable text.
    pub description: String,
    /// The tags of the image.
    pub tags: Tags,
    /// The keys and values that say how its system wants to be started.
    pub metadata: Metadata,
    /// The operating system and its support of cloud-init.
    pub guest: GuestSystem,
    /// The entry of the catalogue by which it is offered; empty for captured images.
    pub catalogue: CatalogueEntry,
    /// The instance that it is captured from; `None` for stock images.
    pub source: Option<ImageSource>,
    /// The storage that holds its file.
    pub storage_id: StorageId,
    /// The file's key in that storage.
    pub storage_key: String,
    /// The format of the file.
    pub format: ImageFormat,
    /// The bytes that it may need: they count against the limits until the file is stored.
    pub reserved: ByteSize,
    /// The task that creates it.
    pub task_id: TaskId,
}

/// The parts of an image, to read it and to build it from a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageParts {
    /// The image's id.
    pub id: ImageId,
    /// The account that owns it; an admin account for stock images.
    pub account_id: AccountId,
    /// The location where it can be used (S10).
    pub location_id: LocationId,
    /// The origin of the image.
    pub kind: ImageKind,
    /// The image's name.
    pub name: Name,
    /// Human-readable text.
    pub description: String,
    /// The tags of the image.
    pub tags: Tags,
    /// The keys and values that say how its system wants to be started.
    pub metadata: Metadata,
    /// The operating system and its support of cloud-init.
    pub guest: GuestSystem,
    /// The entry of the catalogue by which it is offered; empty for captured images.
    pub catalogue: CatalogueEntry,
    /// Whether it cannot be deleted until that is switched off.
    pub protected: bool,
    /// The status of the image.
    pub status: ImageStatus,
    /// Whether the last attempt to remove it failed; only while it is being removed.
    pub removal_failed: bool,
    /// The instance that it was captured from; `None` for stock images.
    pub source: Option<ImageSource>,
    /// The storage that holds its file.
    pub storage_id: StorageId,
    /// The file's key in that storage.
    pub storage_key: String,
    /// The format that the file has or will have.
    pub format: ImageFormat,
    /// The properties of the stored bytes; `None` until they are stored.
    pub stored: Option<StoredImage>,
    /// The bytes that count against the limits while the image is created; nothing afterwards.
    pub reserved: ByteSize,
    /// The last task that worked on it.
    pub task_id: Option<TaskId>,
    /// When it was requested.
    pub created_at: Timestamp,
    /// When it became available: billing starts here (S116).
    pub available_at: Option<Timestamp>,
    /// Increases with every change; the ETag.
    pub version: u32,
}

/// An image. Its parts can be read by dereferencing; only its methods change it, and each of them
/// counts a new version.
///
/// ```text
///  reserve -> creating ----------> available
///               ^  |   publish      ^ |   |
///        retry  |  | fail  confirm  | |   | delete
///               |  v                | v   v
///              error <--------------+-+  deleting
///                |        lose              ^
///                +--------------------------+
///                          delete
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image(ImageParts);

impl Deref for Image {
    type Target = ImageParts;

    fn deref(&self) -> &ImageParts {
        &self.0
    }
}

/// An available image has stored bytes and the time since when it is available.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an image is available without stored bytes")]
pub struct InconsistentImage;

impl ImageStatus {
    /// Returns the seeds' sentence for the status.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Creating => "Image is being generated from the instance disk",
            Self::Available => "Image is ready to use for deployments",
            Self::Error => "Image creation failed -- check tasks for details",
            Self::Deleting => "Image is being removed",
        }
    }

    /// Returns whether an image may go from this status to `next` by its creation or its removal.
    /// [`Image::lose`] and [`Image::confirm`] have rules of their own.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Creating => matches!(next, Self::Available | Self::Error),
            Self::Available => matches!(next, Self::Deleting),
            Self::Error => matches!(next, Self::Creating | Self::Deleting),
            Self::Deleting => false,
        }
    }

    /// Returns whether the image counts against its account's limits: from the reservation until it
    /// is being removed (S62, S126). One that could not be created takes nothing.
    pub const fn counts(self) -> bool {
        match self {
            Self::Creating | Self::Available => true,
            Self::Error | Self::Deleting => false,
        }
    }
}

impl Image {
    /// Builds an image whose slot is reserved and whose bytes are being created.
    pub fn reserve(new: NewImage, now: Timestamp) -> Self {
        Self(ImageParts {
            id: new.id,
            account_id: new.account_id,
            location_id: new.location_id,
            kind: new.kind,
            name: new.name,
            description: new.description,
            tags: new.tags,
            metadata: new.metadata,
            guest: new.guest,
            catalogue: new.catalogue,
            protected: false,
            status: ImageStatus::Creating,
            removal_failed: false,
            source: new.source,
            storage_id: new.storage_id,
            storage_key: new.storage_key,
            format: new.format,
            stored: None,
            reserved: new.reserved,
            task_id: Some(new.task_id),
            created_at: now,
            available_at: None,
            version: 1,
        })
    }

    /// Builds an image from the parts that a row holds.
    ///
    /// # Errors
    ///
    /// [`InconsistentImage`] when the image is available, but not its bytes.
    pub fn from_parts(parts: ImageParts) -> Result<Self, InconsistentImage> {
        match parts.status {
            ImageStatus::Available if parts.stored.is_none() || parts.available_at.is_none() => {
                Err(InconsistentImage)
            }
            ImageStatus::Creating | ImageStatus::Available | ImageStatus::Error | ImageStatus::Deleting => {
                Ok(Self(parts))
            }
        }
    }

    fn transition(&mut self, to: ImageStatus) -> Result<(), IllegalTransition> {
        let from = self.0.status;
        if !from.may_become(to) {
            return Err(IllegalTransition { noun: "image", from: from.as_str(), to: to.as_str() });
        }
        self.0.status = to;
        self.count_version();
        Ok(())
    }

    fn count_version(&mut self) {
        self.0.version = self.0.version.saturating_add(1);
    }

    /// Makes an image available whose bytes are durable.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the image is not being created.
    pub fn publish(&mut self, stored: StoredImage, now: Timestamp) -> Result<(), IllegalTransition> {
        self.transition(ImageStatus::Available)?;
        self.0.format = stored.format;
        self.0.stored = Some(stored);
        self.0.reserved = ByteSize::ZERO;
        self.0.available_at = Some(now);
        Ok(())
    }

    /// Ends the creation of an image without success.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the image is not being created.
    pub fn fail(&mut self) -> Result<(), IllegalTransition> {
        self.transition(ImageStatus::Error)?;
        self.0.reserved = ByteSize::ZERO;
        Ok(())
    }

    /// Says that the file of an available image is gone or damaged.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the image is not available.
    pub fn lose(&mut self) -> Result<(), IllegalTransition> {
        match self.0.status {
            ImageStatus::Available => {
                self.0.status = ImageStatus::Error;
                self.count_version();
                Ok(())
            }
            from @ (ImageStatus::Creating | ImageStatus::Error | ImageStatus::Deleting) => {
                Err(IllegalTransition { noun: "image", from: from.as_str(), to: ImageStatus::Error.as_str() })
            }
        }
    }

    /// Says that the file of the image was read again and holds its disk: takes over what the file
    /// is like, and makes an image available again that was lost.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the image is neither available nor lost, or the file holds
    /// another disk.
    pub fn confirm(&mut self, found: StoredImage, now: Timestamp) -> Result<(), IllegalTransition> {
        let from = self.0.status;
        let refused = IllegalTransition { noun: "image", from: from.as_str(), to: "its file, read again" };
        let Some(stored) = &self.0.stored else { return Err(refused) };
        if stored.logical_digest != found.logical_digest {
            return Err(refused);
        }
        let consistency = stored.consistency;
        match from {
            ImageStatus::Available => self.count_version(),
            ImageStatus::Error => {
                self.0.status = ImageStatus::Available;
                self.0.available_at = Some(now);
                self.count_version();
            }
            ImageStatus::Creating | ImageStatus::Deleting => return Err(refused),
        }
        self.0.stored = Some(StoredImage { consistency, ..found });
        Ok(())
    }

    /// Starts the creation of a failed image anew. `reserved` are the bytes that it may need.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the image is not in error.
    pub fn retry(&mut self, reserved: ByteSize) -> Result<(), IllegalTransition> {
        self.transition(ImageStatus::Creating)?;
        self.0.reserved = reserved;
        Ok(())
    }

    /// Sets how many bytes the image may need, when its creation knows better. The version stays:
    /// nobody is shown the number.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the image is not being created.
    pub fn reserve_anew(&mut self, reserved: ByteSize) -> Result<(), IllegalTransition> {
        match self.0.status {
            ImageStatus::Creating => {
                self.0.reserved = reserved;
                Ok(())
            }
            from @ (ImageStatus::Available | ImageStatus::Error | ImageStatus::Deleting) => {
                Err(IllegalTransition {
                    noun: "image",
                    from: from.as_str(),
                    to: ImageStatus::Creating.as_str(),
                })
            }
        }
    }

    /// Returns what the image takes of its account's limits. Stock images, and those that could not
    /// be created, take nothing.
    pub fn usage(&self) -> ImageUsage {
        if self.0.kind == ImageKind::Stock || !self.0.status.counts() {
            return ImageUsage::default();
        }
        let stored = self.0.stored.as_ref().filter(|_| self.0.status == ImageStatus::Available);
        ImageUsage { images: 1, bytes: stored.map_or(self.0.reserved, |stored| stored.size) }
    }

    /// Says that the file of the image is, or will be, elsewhere: a verified copy took its place,
    /// or another storage takes the next attempt.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the image is being removed.
    pub fn relocate(&mut self, storage_id: StorageId, key: String) -> Result<(), IllegalTransition> {
        match self.0.status {
            ImageStatus::Creating | ImageStatus::Available | ImageStatus::Error => {}
            ImageStatus::Deleting => {
                return Err(IllegalTransition {
                    noun: "image",
                    from: ImageStatus::Deleting.as_str(),
                    to: "another storage",
                });
            }
        }
        self.0.storage_id = storage_id;
        self.0.storage_key = key;
        self.count_version();
        Ok(())
    }

    /// Starts the removal of an image by a task.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the image is being created or removed.
    pub fn delete(&mut self, task_id: TaskId) -> Result<(), IllegalTransition> {
        self.transition(ImageStatus::Deleting)?;
        self.0.task_id = Some(task_id);
        Ok(())
    }

    /// Says how the last attempt to remove the image ended: that it failed, or that another one was
    /// started.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the image is not being removed.
    pub fn set_removal_failed(&mut self, failed: bool) -> Result<(), IllegalTransition> {
        match self.0.status {
            ImageStatus::Deleting => {
                self.0.removal_failed = failed;
                self.count_version();
                Ok(())
            }
            from @ (ImageStatus::Creating | ImageStatus::Available | ImageStatus::Error) => {
                Err(IllegalTransition { noun: "image", from: from.as_str(), to: "the end of its removal" })
            }
        }
    }

    /// Returns the stored bytes of an available image: only such an image can be deployed.
    ///
    /// # Errors
    ///
    /// [`Code::ImageNotAvailable`] in any other status.
    pub fn require_available(&self) -> Result<&StoredImage, Error> {
        match (self.0.status, &self.0.stored) {
            (ImageStatus::Available, Some(stored)) => Ok(stored),
            (status, _) => Err(Error::new(
                Code::ImageNotAvailable,
                format!("the image is {status}; only an available image can be deployed"),
            )),
        }
    }
}

#[cfg(test)]
mod tests;
