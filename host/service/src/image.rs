//! Images: capture, list, show, rename, delete; stock images for admins.

use imprint_agent_protocol::Compression;
use imprint_domain::{
    Error,
    consistency::Consistency,
    id::{AccountId, ImageId, InstanceId, LocationId, StorageId, TaskId},
    image::{ImageKind, ImageStatus},
    name::Name,
    size::ByteSize,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{Op, Page, PageRequest, Service, TaskView};

/// The instance that an image was captured from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceInstance {
    /// Its id; it may be gone by now.
    pub id: InstanceId,
    /// Its name then.
    pub name: String,
}

/// An image, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageView {
    /// Its id.
    pub id: ImageId,
    /// Whose it is.
    pub account_id: AccountId,
    /// Its name.
    pub name: Name,
    /// For people.
    pub description: String,
    /// Captured or provided.
    pub kind: ImageKind,
    /// Its status.
    pub status: ImageStatus,
    /// The seeds' sentence for it.
    pub status_text: String,
    /// Where it can be used.
    pub location_id: LocationId,
    /// What it was captured from.
    pub source_instance: Option<SourceInstance>,
    /// Bytes in the storage: the Size that is shown.
    pub size_bytes: Option<ByteSize>,
    /// Bytes of the disk that a guest sees.
    pub virtual_size_bytes: Option<ByteSize>,
    /// `raw` or `qcow2`.
    pub format: Option<String>,
    /// The level reached.
    pub consistency: Option<Consistency>,
    /// Of the disk, in any format.
    pub logical_digest: Option<String>,
    /// Of the stored file.
    pub stored_digest: Option<String>,
    /// The last task that worked on it.
    pub task_id: Option<TaskId>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it became available.
    pub available_at: Option<Timestamp>,
    /// The ETag.
    pub version: u32,
}

/// An image and the task that works on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageTask {
    /// The image.
    pub image: ImageView,
    /// The task.
    pub task: TaskView,
    /// The answer was stored by an earlier request with the same idempotency key.
    #[serde(skip)]
    pub replayed: bool,
}

/// How consistent a capture should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistencyWish {
    /// The level to try for.
    pub want: Consistency,
    /// The weakest that is a success (X11).
    pub minimum: Consistency,
}

/// A wish to capture an instance's primary disk.
#[derive(Clone, Debug)]
pub struct CaptureCreate {
    /// From which instance.
    pub instance_id: InstanceId,
    /// The image's name.
    pub name: Name,
    /// For people; at most 1024 characters.
    pub description: String,
    /// `None` takes zstd.
    pub compression: Option<Compression>,
    /// `None` wants `application` and takes `crash`.
    pub consistency: Option<ConsistencyWish>,
}

/// Whose images to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageScope {
    /// The account's own captured images: My Images.
    #[default]
    Own,
    /// The operator's.
    Stock,
    /// Both; for admins everybody's.
    All,
}

/// What to sort by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageSortField {
    /// When it was asked for.
    #[default]
    CreatedAt,
    /// By name.
    Name,
    /// By size; images without one first.
    SizeBytes,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSort {
    /// By what.
    pub field: ImageSortField,
    /// Largest or latest first.
    pub descending: bool,
}

impl Default for ImageSort {
    fn default() -> Self {
        Self { field: ImageSortField::CreatedAt, descending: true }
    }
}

/// Which images to list, and how.
#[derive(Clone, Debug, Default)]
pub struct ImageList {
    /// Whose.
    pub scope: ImageScope,
    /// Any of these; empty takes all.
    pub status: Vec<ImageStatus>,
    /// Only there.
    pub location_id: Option<LocationId>,
    /// The order.
    pub sort: ImageSort,
    /// Which page.
    pub page: PageRequest,
}

/// A change of an image.
#[derive(Clone, Debug, Default)]
pub struct ImagePatch {
    /// The new name.
    pub name: Option<Name>,
    /// The new description.
    pub description: Option<String>,
}

/// A stock image to take into service (S101 to S105).
#[derive(Clone, Debug)]
pub struct OsImageCreate {
    /// Its name.
    pub name: Name,
    /// For people.
    pub description: String,
    /// A storage of role `stock`.
    pub storage_id: StorageId,
    /// The file's key there.
    pub key: String,
    /// `raw` or `qcow2`.
    pub format: String,
    /// Where it can be used.
    pub location_id: LocationId,
}

impl Service {
    /// Captures the primary disk of an instance: reserves a slot and queues the task, in one transaction (S126, X7).
    pub async fn image_capture(&self, op: &Op, request: CaptureCreate) -> Result<ImageTask, Error> {
        pending!(op, request)
    }

    /// Images.
    pub async fn image_list(&self, op: &Op, list: &ImageList) -> Result<Page<ImageView>, Error> {
        pending!(op, list)
    }

    /// One image: own or stock.
    pub async fn image_show(&self, op: &Op, id: ImageId) -> Result<ImageView, Error> {
        pending!(op, id)
    }

    /// Changes name or description. `if_match` is the version that the client saw; `precondition_failed` when it is stale.
    pub async fn image_update(
        &self,
        op: &Op,
        id: ImageId,
        patch: ImagePatch,
        if_match: Option<u32>,
    ) -> Result<ImageView, Error> {
        pending!(op, id, patch, if_match)
    }

    /// Deletes an image: its slot is free at once, its file goes with the task (S59 to S62, D8).
    pub async fn image_delete(
        &self,
        op: &Op,
        id: ImageId,
        if_match: Option<u32>,
    ) -> Result<ImageTask, Error> {
        pending!(op, id, if_match)
    }

    /// Takes a stock image into service: registers it and queues the task that reads its file. Admins only.
    pub async fn os_image_create(&self, op: &Op, request: OsImageCreate) -> Result<ImageTask, Error> {
        pending!(op, request)
    }
}
