//! Images: stored copies of a disk that new instances are made from (S1).

use serde::{Deserialize, Serialize};

use crate::{
    consistency::Consistency,
    error::{Code, Error},
    id::{AccountId, ImageId, InstanceId, LocationId, StorageId, TaskId},
    name::Name,
    size::ByteSize,
    string_enum::string_enum,
    time::Timestamp,
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
}

string_enum! {
    /// The origin of an image.
    pub enum ImageKind {
        /// Captured by a customer from an instance: "My Images" (S3).
        Custom = "custom",
        /// Provided by the operator (S2).
        Stock = "stock",
    }
}

string_enum! {
    /// The encoding of stored clusters.
    pub enum Compression {
        /// The bytes as they are.
        None = "none",
        /// Deflate.
        Zlib = "zlib",
        /// Zstandard.
        Zstd = "zstd",
    }
}

/// The formats that an image may be stored in: captures are qcow2, stock images what their operator
/// has.
pub const IMAGE_FORMATS: [&str; 7] = ["raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "ova"];

/// Whether an image may be stored in the format of that name.
pub fn is_image_format(name: &str) -> bool {
    IMAGE_FORMATS.contains(&name)
}

/// What is known of an image's bytes once they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    /// Bytes in the image storage: billed, and shown as Size (D1).
    pub size: ByteSize,
    /// Bytes of the disk that a guest sees.
    pub virtual_size: ByteSize,
    /// One of [`IMAGE_FORMATS`].
    pub format: String,
    /// The same for the same disk in every format (X6).
    pub logical_digest: String,
    /// Of the stored file.
    pub stored_digest: String,
    /// How consistent the disk was; stock images have none.
    pub consistency: Option<Consistency>,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Who owns it; stock images belong to an admin account.
    pub account_id: AccountId,
    /// Where it can be used (S10).
    pub location_id: LocationId,
    /// How it came to be.
    pub kind: ImageKind,
    /// Its name.
    pub name: Name,
    /// For people.
    pub description: String,
    /// Where it is in its life.
    pub status: ImageStatus,
    /// The instance it was captured from, which may be gone by now.
    pub source_instance_id: Option<InstanceId>,
    /// That instance's name, kept for when it is gone.
    pub source_instance_name: Option<String>,
    /// Where its file is, or will be.
    pub storage_id: StorageId,
    /// The file's key in that storage.
    pub storage_key: String,
    /// Once it is stored.
    pub stored: Option<StoredImage>,
    /// The last task that worked on it.
    pub task_id: Option<TaskId>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it became available: billing starts here (S116).
    pub available_at: Option<Timestamp>,
    /// Changes with every change; the ETag.
    pub version: u32,
}

impl ImageStatus {
    /// The seeds' sentence for the status.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Creating => "Image is being generated from the instance disk",
            Self::Available => "Image is ready to use for deployments",
            Self::Error => "Image creation failed -- check tasks for details",
            Self::Deleting => "Image is being removed",
        }
    }

    /// Whether an image may go from this status to `next`.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Creating => matches!(next, Self::Available | Self::Error),
            Self::Available => matches!(next, Self::Deleting),
            // A retry of the task brings it back to `creating`.
            Self::Error => matches!(next, Self::Creating | Self::Deleting),
            Self::Deleting => false,
        }
    }

    /// Whether the image takes a slot of its account's limit: from the reservation on, until it is
    /// gone (S62, S126).
    pub const fn takes_slot(self) -> bool {
        match self {
            Self::Creating | Self::Available | Self::Error => true,
            Self::Deleting => false,
        }
    }
}

impl Image {
    /// Only an available image can be deployed.
    pub fn require_available(&self) -> Result<&StoredImage, Error> {
        match (self.status, &self.stored) {
            (ImageStatus::Available, Some(stored)) => Ok(stored),
            (status, _) => Err(Error::new(
                Code::ImageNotAvailable,
                format!("the image is {}; only an available image can be deployed", status.as_str()),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ImageStatus::{Available, Creating, Deleting, Error};

    #[test]
    fn the_life_of_an_image_has_no_way_back_from_deleting() {
        let all = [Creating, Available, Error, Deleting];
        let allowed: Vec<_> = all
            .iter()
            .flat_map(|from| all.iter().filter(|to| from.may_become(**to)).map(move |to| (*from, *to)))
            .collect();
        assert_eq!(
            allowed,
            [
                (Creating, Available),
                (Creating, Error),
                (Available, Deleting),
                (Error, Creating),
                (Error, Deleting)
            ]
        );
    }
}
