//! Images.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use imprint_domain::{
    capture_format::CaptureFormat,
    consistency::Consistency,
    estimate::EstimateBasis,
    findings::{DiskFindings, ImageNotice},
    id::{ImageId, InstanceId, LocationId, MediaGroupId, ShareId, StorageId, TaskId},
    image::{Compression, ImageKind, ImageStatus, catalogue::OsType},
    windows::CaptureNoticeCode,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    import::{ImageImport, ImageSource},
    patch::nullable,
    stock_image::Deprecation,
    task::Task,
};

/// What was found inside of an image's disk.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageFindings {
    /// When the disk was looked into; `null` where nothing has.
    #[schema(required)]
    pub inspected_at: Option<DateTime<Utc>>,
    /// What was found; `null` where nothing has looked.
    #[schema(required)]
    pub findings: Option<DiskFindings>,
    /// What one has to know before an instance is made of the image, the most serious first.
    pub notices: Vec<ImageNotice>,
}

/// An image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Image {
    /// The id of the image.
    pub id: ImageId,
    /// The name of the image.
    pub name: String,
    /// The description of the image.
    pub description: String,
    /// The tags of the image, in alphabetical order.
    pub tags: Vec<String>,
    /// How the system of the image wants to be started: keys and values.
    pub metadata: BTreeMap<String, String>,
    /// The operating system of the image.
    pub os_type: OsType,
    /// Whether its system sets SSH keys and runs user scripts at the first boot of an instance.
    pub cloud_init: bool,
    /// How a stock image is offered; `null` for other images.
    #[schema(required)]
    pub catalogue: Option<ImageCatalogue>,
    /// Whether the image cannot be deleted until that is switched off.
    pub protected: bool,
    /// The origin of the image.
    pub kind: ImageKind,
    /// The status of the image.
    pub status: ImageStatus,
    /// The status as a sentence.
    pub status_text: String,
    /// Whether the last attempt to remove the image failed: deleting it again tries again.
    pub removal_failed: bool,
    /// The location where the image can be used.
    pub location_id: LocationId,
    /// The instance that the image was captured from; it may be deleted by now.
    #[schema(required)]
    pub source_instance: Option<SourceInstance>,
    /// The size of the stored file in bytes; `null` until it is stored.
    #[schema(required)]
    pub size_bytes: Option<u64>,
    /// The size of the disk in bytes, as a guest sees it; `null` until the image is stored.
    #[schema(required)]
    pub virtual_size_bytes: Option<u64>,
    /// The format of the stored file: `qcow2`, `raw` or `vhd`, of stock images also others (`vmdk`,
    /// `ova`, ...).
    #[schema(required)]
    pub format: Option<String>,
    /// The consistency that the capture reached.
    #[schema(required)]
    pub consistency: Option<Consistency>,
    /// How the capture went; `null` until its disk is stored, and for images that were not
    /// captured.
    #[schema(required)]
    pub capture: Option<ImageCapture>,
    /// The digest of the disk, which is the same in every format.
    #[schema(required)]
    pub logical_digest: Option<String>,
    /// The digest of the stored file.
    #[schema(required)]
    pub stored_digest: Option<String>,
    /// The last task of the image.
    #[schema(required)]
    pub task_id: Option<TaskId>,
    /// The time of creation.
    pub created_at: DateTime<Utc>,
    /// The time when the image became available.
    #[schema(required)]
    pub available_at: Option<DateTime<Utc>>,
    /// The version of the image, which increases with every change; also its `ETag`.
    pub version: u32,
    /// Where the file is; for administrators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<ImagePlace>,
    /// By what an image of another account is shared with this one. Of such an image, the source
    /// instance and the task are not shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<ImageShared>,
    /// Where the file of an imported image came from; `null` for other images.
    #[schema(required)]
    pub import: Option<ImageImport>,
}

/// How a stock image is offered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageCatalogue {
    /// The media group that the image is shown in.
    #[schema(required)]
    pub media_group_id: Option<MediaGroupId>,
    /// The family that the image is a version of.
    #[schema(required, example = "debian-12")]
    pub family: Option<String>,
    /// The version within the family.
    #[schema(required, example = "20241001")]
    pub family_version: Option<String>,
    /// Whether a deployment by the family takes this image: the latest version of the location that
    /// is available, offered to customers and not deprecated.
    pub latest: bool,
    /// Why the image should not be used for new instances any more, though it can be.
    #[schema(required)]
    pub deprecation: Option<Deprecation>,
    /// Whether customers neither see nor deploy the image.
    pub hidden: bool,
}

/// By what an image is shared with the account that asks.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageShared {
    /// The share.
    pub share_id: ShareId,
    /// The name of the account that owns the image.
    pub owner: String,
    /// The time at which the share ends by itself.
    #[schema(required)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// How the capture of an image went.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageCapture {
    /// Why the consistency is below the requested level; `null` where it is not.
    #[schema(required)]
    pub downgraded_because: Option<String>,
    /// The time for which the guest's file systems were frozen, in milliseconds; `null` where the
    /// instance was off.
    #[schema(required)]
    pub frozen_ms: Option<u32>,
    /// The time for which the guest's processors were stopped, in milliseconds; `null` where the
    /// instance was off.
    #[schema(required)]
    pub stopped_ms: Option<u32>,
    /// How the point in time was taken; for administrators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The size in bytes that was estimated before.
    #[schema(required)]
    pub estimated_bytes: Option<u64>,
    /// The time in seconds that was estimated before.
    #[schema(required)]
    pub estimated_s: Option<u64>,
    /// The time from the start of the work to the available image, in milliseconds.
    #[schema(required)]
    pub took_ms: Option<u64>,
}

/// What an image of an instance would take.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CaptureEstimate {
    /// The bytes that the disk's file occupies.
    pub content_bytes: u64,
    /// The size of the image's file in bytes.
    pub size_bytes: u64,
    /// The time from the start of the work to the available image, in seconds; waiting for a turn
    /// comes before it.
    pub seconds: u64,
    /// What it is based on: `instance` and `hypervisor` are earlier images, `rule` is a rule of
    /// thumb.
    pub basis: EstimateBasis,
    /// The number of earlier images that it considers.
    pub captures: u32,
    /// What one has to know before the image is created.
    pub notices: Vec<CaptureNotice>,
}

/// What one has to know about an image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CaptureNotice {
    /// The stable code.
    pub code: CaptureNoticeCode,
    /// What one has to know, as a sentence.
    pub text: String,
}

/// What an estimate depends on.
#[derive(Clone, Debug, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EstimateQuery {
    /// The format of the stored file; without it, that of the location.
    #[serde(default)]
    pub format: Option<CaptureFormat>,
    /// The compression of the stored file; without it, `zstd` where the format has it.
    #[serde(default)]
    pub compression: Option<Compression>,
    /// The bytes that the file system is to hold; without it, what the disk's file occupies now.
    #[serde(default)]
    pub used_bytes: Option<u64>,
    /// The most bytes that the file system held until then; without it, `used_bytes`.
    #[serde(default)]
    pub largest_used_bytes: Option<u64>,
}

/// Where the file of an image is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImagePlace {
    /// The image storage.
    pub id: StorageId,
    /// The key of the file in the image storage.
    pub key: String,
}

/// The instance that an image was captured from.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SourceInstance {
    /// The id of the instance.
    pub id: InstanceId,
    /// The name of the instance at that time.
    pub name: String,
}

/// The consistency that a capture must reach.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyRequirement {
    /// The consistency to try for; without it, `application`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub want: Option<Consistency>,
    /// The weakest consistency that counts as success; without it, `crash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Consistency>,
}

/// A request to create an image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageCreate {
    /// The source of the image.
    pub source: ImageSource,
    /// The name of the image.
    #[schema(min_length = 1, max_length = 128, example = "production-web-server-v2")]
    pub name: String,
    /// The description of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// The tags of the image: at most 32, each 1 to 64 visible characters without commas. Upper and
    /// lower case make no difference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 32, required = false)]
    pub tags: Vec<String>,
    /// The format of the stored file; without it, that of the location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<CaptureFormat>,
    /// The compression of the stored file; without it, `zstd` where the format has it. Files of
    /// `raw` and `vhd` are not compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// The consistency that the capture must reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<ConsistencyRequirement>,
    /// Whether the instance is a domain controller of Windows: an image of one cannot be restored
    /// and is refused. Without an answer, a notice asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_controller: Option<bool>,
    /// The image storage that takes the image; without it, one is chosen. For administrators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_id: Option<StorageId>,
    /// The location where an imported image can be used. Images of instances are where those are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location_id: Option<LocationId>,
    /// Whether an imported image becomes a stock image. For administrators only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub stock: bool,
}

/// A request to create an image of the instance in the path.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceImageCreate {
    /// The name of the image.
    #[schema(min_length = 1, max_length = 128, example = "production-web-server-v2")]
    pub name: String,
    /// The description of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// The tags of the image: at most 32, each 1 to 64 visible characters without commas. Upper and
    /// lower case make no difference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 32, required = false)]
    pub tags: Vec<String>,
    /// The format of the stored file; without it, that of the location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<CaptureFormat>,
    /// The compression of the stored file; without it, `zstd` where the format has it. Files of
    /// `raw` and `vhd` are not compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// The consistency that the capture must reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<ConsistencyRequirement>,
    /// Whether the instance is a domain controller of Windows: an image of one cannot be restored
    /// and is refused. Without an answer, a notice asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_controller: Option<bool>,
    /// The image storage that takes the image; without it, one is chosen. For administrators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_id: Option<StorageId>,
}

/// A request to change an image (merge patch).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImagePatch {
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub name: Option<String>,
    /// The new description; `null` removes it.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 1024)]
    pub description: Option<Option<String>>,
    /// The new tags, instead of the old ones; `null` removes all.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, max_items = 32)]
    pub tags: Option<Option<Vec<String>>>,
    /// The keys of the metadata that change; `null` removes a key, or all of them. Keys have 1 to
    /// 64 letters, digits, `_`, `-`, `.` and `:`, values at most 255 characters. A deployment acts
    /// upon `vm_mode` (`hvm`, `virtio`), `img_config_drive` (`mandatory`, `optional`) and
    /// `ssh_user`.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    pub metadata: Option<Option<BTreeMap<String, Option<String>>>>,
    /// Whether the image cannot be deleted from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<bool>,
    /// The operating system of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_type: Option<OsType>,
    /// Whether its system sets SSH keys and runs user scripts at the first boot of an instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_init: Option<bool>,
}

/// An image and its task.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageAndTask {
    /// The current state of the image.
    pub image: Image,
    /// The task.
    pub task: Task,
    /// What one has to know about the image; only in the answer to its creation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub notices: Vec<CaptureNotice>,
}

/// The owners of the images to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageScope {
    /// Images of this account.
    #[default]
    Own,
    /// Stock images of the provider.
    Stock,
    /// Images of other accounts that are shared with this one.
    Shared,
    /// All of these.
    All,
}

/// The images to list, and their order.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImageListQuery {
    /// The owners of the images; without it, this account.
    #[serde(default)]
    #[param(inline)]
    pub scope: ImageScope,
    /// Only images that contain every one of these words in their name, their description, their
    /// source instance's name or their tags, in upper or lower case; at most 8 words in 128
    /// characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(max_length = 128, example = "web production")]
    pub q: Option<String>,
    /// Only images with all of these tags, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = "env=production,web")]
    pub tag: Option<String>,
    /// Only images with one of these statuses, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = "available,error")]
    pub status: Option<String>,
    /// Only images of this origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub kind: Option<ImageKind>,
    /// Only images that were captured from this instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_instance_id: Option<InstanceId>,
    /// Only images with one of these ids, separated by commas; at most 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<String>,
    /// Only images in this location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location_id: Option<LocationId>,
    /// Only images on this image storage. For administrators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_id: Option<StorageId>,
    /// The order: `created_at`, `name` or `size_bytes`; a leading `-` makes it descending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(default = "-created_at", example = "-created_at")]
    pub sort: Option<String>,
    /// The number of items of a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(default = 50, minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// The `next_page_token` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}
