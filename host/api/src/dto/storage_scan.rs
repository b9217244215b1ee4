//! Scans of image storages, what they find, and what admins have done about it.

use chrono::{DateTime, Utc};
use imprint_domain::{
    id::{AccountId, HypervisorId, ImageId, LocationId, TaskId},
    image::ImageStatus,
    storage_scan::{ObjectAction, ObjectClass, ScanState},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A request to scan an image storage.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StorageScanCreate {
    /// Whether the files of the images are read and their digests compared, which takes as long as
    /// reading all of them.
    #[serde(default)]
    pub deep: bool,
    /// The hypervisor with the agent that lists the image storage; without it, one that reaches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypervisor_id: Option<HypervisorId>,
}

/// The latest scans of an image storage.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StorageScans {
    /// The scans, latest first.
    pub items: Vec<StorageScan>,
}

/// A scan of an image storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageScan {
    /// The id of the task that carries the scan out.
    pub id: TaskId,
    /// The hypervisor with the agent that lists the image storage.
    pub hypervisor_id: HypervisorId,
    /// Whether the files of the images are read and their digests compared.
    pub deep: bool,
    /// The state of the scan.
    pub state: ScanState,
    /// The number of objects that were found.
    pub objects: u64,
    /// The sum of their sizes in bytes.
    pub bytes: u64,
    /// The number of objects of each class; empty until the scan is complete.
    pub classes: Vec<StorageObjectCount>,
    /// When the scan was requested.
    pub started_at: DateTime<Utc>,
    /// When the scan ended.
    #[schema(required)]
    pub finished_at: Option<DateTime<Utc>>,
}

/// The number of objects of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageObjectCount {
    /// The class of the objects.
    pub class: ObjectClass,
    /// Whether an admin has to look at them.
    pub fault: bool,
    /// The actions that a reconciliation may name for the class.
    pub actions: Vec<ObjectAction>,
    /// The action that a plan proposes for the class.
    #[schema(required)]
    pub proposed: Option<ObjectAction>,
    /// The number of objects.
    pub count: u64,
    /// The sum of their sizes in bytes.
    pub bytes: u64,
}

/// The objects to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StorageObjectListQuery {
    /// Only objects of one of these classes, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = "orphan,foreign")]
    pub class: Option<String>,
    /// Only objects that an admin has to look at, or only the others; instead of `class`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<bool>,
    /// Only objects with keys that begin with this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The number of items of a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(default = 50, minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// The `next_page_token` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}

/// An object of an image storage, as the last scan found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageObject {
    /// The key of the object in its image storage.
    pub key: String,
    /// The class of the object.
    pub class: ObjectClass,
    /// The size in bytes; `null` for a file that is not there.
    #[schema(required)]
    pub size_bytes: Option<u64>,
    /// When the object was changed, where the image storage says so.
    #[schema(required)]
    pub modified_at: Option<DateTime<Utc>>,
    /// When a scan first found the object.
    pub first_seen_at: DateTime<Utc>,
    /// The image that the object belongs to.
    #[schema(required)]
    pub image: Option<StorageObjectImage>,
    /// The digest of the object's bytes, when a deep scan read them.
    #[schema(required)]
    pub digest: Option<String>,
    /// When a deep scan read them.
    #[schema(required)]
    pub digest_at: Option<DateTime<Utc>>,
    /// When a quarantined object is deleted.
    #[schema(required)]
    pub delete_after: Option<DateTime<Utc>>,
    /// The actions that a request may name for the object at the moment.
    pub actions: Vec<ObjectAction>,
}

/// The image of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageObjectImage {
    /// The id of the image.
    pub id: ImageId,
    /// The name of the image.
    pub name: String,
    /// The status of the image.
    pub status: ImageStatus,
    /// The account that owns the image.
    pub account_id: AccountId,
    /// The size of the image's file in bytes, as it was recorded.
    #[schema(required)]
    pub size_bytes: Option<u64>,
}

/// A request to do something about what a scan found, or to plan it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StorageReconcile {
    /// The scan that was looked at. It must be the last complete one.
    pub scan_id: TaskId,
    /// The changes to make; without any, what is proposed for each class is done.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub changes: Vec<StorageObjectChange>,
    /// Whether only the plan is wanted: nothing is changed.
    pub dry_run: bool,
}

/// Something to do about objects: all of a class, or those with certain keys.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StorageObjectChange {
    /// The action on the objects.
    pub action: ObjectAction,
    /// The class of the objects; instead of `keys`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ObjectClass>,
    /// The keys of the objects; instead of `class`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 2000)]
    pub keys: Option<Vec<String>>,
}

/// The answer to a request: what it does, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageReconcileReport {
    /// The scan.
    pub scan_id: TaskId,
    /// Whether this is a plan, and nothing was changed.
    pub dry_run: bool,
    /// The actions that are taken, by action and class.
    pub entries: Vec<StorageReconcileEntry>,
    /// The first of the objects that are left alone.
    pub refused: Vec<StorageReconcileRefusal>,
    /// The number of objects that are left alone.
    pub refused_count: u64,
    /// Whether there are more objects than one request changes; the same request continues.
    pub more: bool,
    /// The tasks that were queued.
    pub task_ids: Vec<TaskId>,
}

/// An action on the objects of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageReconcileEntry {
    /// The action that is taken.
    pub action: ObjectAction,
    /// The class of the objects before the action.
    pub class: ObjectClass,
    /// The number of objects.
    pub count: u64,
    /// The sum of their sizes in bytes.
    pub bytes: u64,
    /// The first of their keys.
    pub keys: Vec<String>,
}

/// An object that is left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageReconcileRefusal {
    /// The key of the object.
    pub key: String,
    /// The reason why the object is left alone.
    pub reason: String,
}

/// A request to make an image of an object that nothing refers to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StorageObjectAdopt {
    /// The key of the object.
    #[schema(min_length = 1, max_length = 1024)]
    pub key: String,
    /// The name of the image.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// The description of the image.
    #[serde(default)]
    pub description: String,
    /// The format of the file.
    #[schema(example = "qcow2")]
    pub format: String,
    /// The location where the image can be used.
    pub location_id: LocationId,
    /// The account that gets the image; required for image storages of customers, left out for
    /// those of stock images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<AccountId>,
}
