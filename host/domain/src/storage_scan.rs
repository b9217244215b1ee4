//! Scans of image storages: what is really there, compared with what the database says (S96 to
//! S99, X9).

use serde::{Deserialize, Serialize};

use crate::{
    digest::StoredDigest,
    id::{ExportId, ImageId},
    image::{ImageFormat, ImageStatus},
    size::ByteSize,
    storage::StorageRole,
    storage_test::TEST_PREFIX,
    string_enum::string_enum,
    time::Timestamp,
};

string_enum! {
    /// What an object of an image storage is, or what is wrong with it.
    #[derive(PartialOrd, Ord)]
    pub enum ObjectClass {
        /// The file of an available image, as it has to be.
        Image = "image",
        /// The file of an available image, as it has to be; the instance that the image was
        /// captured from is gone (S98).
        StaleParent = "stale_parent",
        /// The file of an image in error. It goes when that image is deleted.
        FailedImage = "failed_image",
        /// A task works with it, or it is so young that one may.
        InProgress = "in_progress",
        /// An image of this installation that nothing refers to any more.
        Orphan = "orphan",
        /// A file that this installation did not write.
        Foreign = "foreign",
        /// The file of an available image is not there.
        Missing = "missing",
        /// The file of an available image has another size than it should have.
        SizeMismatch = "size_mismatch",
        /// The file of an available image has other bytes than it should have. Only deep scans
        /// find this.
        DigestMismatch = "digest_mismatch",
        /// Set aside by an admin, and deleted later unless it is released.
        Quarantined = "quarantined",
    }

    /// How far a scan is.
    pub enum ScanState {
        /// Its task is not over.
        Active = "active",
        /// Everything was listed and compared.
        Complete = "complete",
        /// Its task failed or was cancelled.
        Failed = "failed",
    }

    /// What an admin can have done about an object.
    #[derive(PartialOrd, Ord)]
    pub enum ObjectAction {
        /// Delete the object.
        Delete = "delete",
        /// Set the object aside: it is deleted after [`QUARANTINE_DAYS`] days.
        Quarantine = "quarantine",
        /// Take the object out of the quarantine.
        Release = "release",
        /// Make the image's row true again: read the file anew, or put the image in error.
        Repair = "repair",
    }
}

/// How long a quarantined object is kept, in days.
pub const QUARANTINE_DAYS: i64 = 14;

/// How old in seconds an object must be before it counts as an orphan or as foreign: a task of
/// which the database does not know any more may still write it.
pub const GRACE_S: i64 = 3600;

impl ObjectClass {
    /// Returns whether an admin has to look at it.
    pub const fn is_fault(self) -> bool {
        match self {
            Self::Orphan | Self::Foreign | Self::Missing | Self::SizeMismatch | Self::DigestMismatch => true,
            Self::Image | Self::StaleParent | Self::FailedImage | Self::InProgress | Self::Quarantined => {
                false
            }
        }
    }

    /// Returns what can be done about an object of this class.
    pub const fn actions(self) -> &'static [ObjectAction] {
        match self {
            Self::Orphan | Self::Foreign => &[ObjectAction::Quarantine, ObjectAction::Delete],
            Self::Quarantined => &[ObjectAction::Release, ObjectAction::Delete],
            Self::Missing | Self::SizeMismatch | Self::DigestMismatch | Self::FailedImage => {
                &[ObjectAction::Repair]
            }
            Self::Image | Self::StaleParent | Self::InProgress => &[],
        }
    }

    /// Returns what a plan proposes for an object of this class, if anything.
    pub const fn proposed(self) -> Option<ObjectAction> {
        match self {
            Self::Orphan => Some(ObjectAction::Quarantine),
            Self::Missing | Self::SizeMismatch | Self::DigestMismatch => Some(ObjectAction::Repair),
            Self::Image
            | Self::StaleParent
            | Self::FailedImage
            | Self::InProgress
            | Self::Foreign
            | Self::Quarantined => None,
        }
    }
}

/// The number and the size of the objects of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCount {
    /// The number of objects.
    pub count: u64,
    /// The sum of their sizes in bytes. A missing file has none.
    pub bytes: u64,
}

/// An object, as an agent found it.
#[derive(Clone, Debug)]
pub struct FoundObject<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its size in bytes.
    pub size: ByteSize,
    /// When it was changed, where the storage says so.
    pub modified_at: Option<Timestamp>,
    /// When a scan first found it.
    pub first_seen_at: Timestamp,
    /// The digest of its bytes, if a deep scan has read them as they are now.
    pub digest: Option<StoredDigest>,
    /// Whether an admin has set it aside.
    pub quarantined: bool,
}

/// An image, as far as a scan compares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference {
    /// The image's id.
    pub id: ImageId,
    /// The status of the image.
    pub status: ImageStatus,
    /// The size of its file in bytes, once it is stored.
    pub size: Option<ByteSize>,
    /// The digest of its file, once it is stored.
    pub stored_digest: Option<StoredDigest>,
    /// Whether it was captured from an instance that is gone.
    pub source_is_gone: bool,
}

/// The circumstances of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// The purpose of the storage.
    pub role: StorageRole,
    /// Whether a task that is not over refers to the key.
    pub in_use: bool,
    /// The time of the comparison.
    pub now: Timestamp,
}

/// Decides what an object is.
pub fn classify(found: &FoundObject<'_>, image: Option<&ImageReference>, by: Comparison) -> ObjectClass {
    if by.in_use {
        return ObjectClass::InProgress;
    }
    let Some(image) = image else { return without_image(found, by) };
    match image.status {
        ImageStatus::Creating | ImageStatus::Deleting => ObjectClass::InProgress,
        ImageStatus::Error => ObjectClass::FailedImage,
        ImageStatus::Available if image.size != Some(found.size) => ObjectClass::SizeMismatch,
        ImageStatus::Available if found.digest.is_some() && found.digest != image.stored_digest => {
            ObjectClass::DigestMismatch
        }
        ImageStatus::Available if image.source_is_gone => ObjectClass::StaleParent,
        ImageStatus::Available => ObjectClass::Image,
    }
}

fn without_image(found: &FoundObject<'_>, by: Comparison) -> ObjectClass {
    if found.quarantined {
        return ObjectClass::Quarantined;
    }
    let since = found.modified_at.unwrap_or(found.first_seen_at);
    // A clock of a storage that is ahead makes an object young, never old.
    if (by.now - since).num_seconds() < GRACE_S {
        return ObjectClass::InProgress;
    }
    let of_ours = || image_of_key(found.key).is_some() || export_of_key(found.key).is_some();
    let ours = found.key.starts_with(TEST_PREFIX) || (by.role == StorageRole::Customer && of_ours());
    if ours { ObjectClass::Orphan } else { ObjectClass::Foreign }
}

/// Returns the image that a key was made for: `<image>.<format>`, or `<image>.<12 digits>.<format>`
/// for a copy that moved there. `None` for any other key.
pub fn image_of_key(key: &str) -> Option<ImageId> {
    let mut parts = key.split('.');
    let (id, second, third) = (parts.next()?, parts.next()?, parts.next());
    let format = match third {
        None => second,
        Some(format) => {
            let is_suffix = second.len() == 12 && second.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_suffix.then_some(format)?
        }
    };
    if parts.next().is_some() || format.parse::<ImageFormat>().is_err() {
        return None;
    }
    id.parse().ok()
}

/// Returns the export that a key was made for, `<export>.<format>`; `None` for any other key.
pub fn export_of_key(key: &str) -> Option<ExportId> {
    let (id, format) = key.split_once('.')?;
    format.parse::<ImageFormat>().ok()?;
    id.parse().ok()
}

#[cfg(test)]
mod tests;
