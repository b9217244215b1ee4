//! Exports of images.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use imprint_domain::{
    export::{DiskVariant, ExportStatus},
    id::{ExportId, ImageId, TaskId},
    image::{Compression, ImageFormat},
    secret::Secrets,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::task::Task;

/// An export of an image: its disk as a file of another format.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageExport {
    /// The id of the export.
    pub id: ExportId,
    /// The image.
    pub image_id: ImageId,
    /// The format of the file.
    pub format: ImageFormat,
    /// The variant of a VHD.
    #[schema(required)]
    pub variant: Option<DiskVariant>,
    /// The compression of a qcow2 file.
    #[schema(required)]
    pub compression: Option<Compression>,
    /// The status: only the file of an export that is `available` can be downloaded.
    pub status: ExportStatus,
    /// The kind of your own storage that the file is written to; `null` for a download.
    #[schema(required)]
    pub destination_kind: Option<String>,
    /// The key of the file in that storage.
    #[schema(required)]
    pub destination_key: Option<String>,
    /// The name that the file gets when it is downloaded.
    pub file_name: String,
    /// The media type of the file.
    pub media_type: String,
    /// The size of the file in bytes, once it is complete.
    #[schema(required)]
    pub size_bytes: Option<u64>,
    /// The SHA-256 of the file in hexadecimal digits, once it is complete.
    #[schema(required)]
    pub sha256: Option<String>,
    /// The digest of the file, once it is complete.
    #[schema(required)]
    pub stored_digest: Option<String>,
    /// The size in bytes of the disk that a guest sees.
    pub virtual_size_bytes: u64,
    /// The digest of the disk: that of the image, in every format.
    pub logical_digest: String,
    /// The last task that worked on it.
    pub task_id: TaskId,
    /// The time when it was asked for.
    pub created_at: DateTime<Utc>,
    /// The time when the file was complete.
    #[schema(required)]
    pub available_at: Option<DateTime<Utc>>,
    /// The time when it is removed.
    pub expires_at: DateTime<Utc>,
}

/// The options of formats. Each belongs to one format.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportOptions {
    /// The variant of a VHD; without it, `dynamic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<DiskVariant>,
    /// The compression of a qcow2 file; without it, `zlib`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
}

/// A storage of your own that an export is written to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportDestination {
    /// The kind of the storage: `s3` or `swift`.
    #[schema(example = "s3", min_length = 1, max_length = 64)]
    pub kind: String,
    /// The settings, such as `endpoint` and `bucket`: those of an image storage of that kind.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// The secrets, which are stored sealed, and removed when the task ends.
    #[serde(default, with = "imprint_domain::secret::exposed", skip_serializing_if = "Secrets::is_empty")]
    #[schema(required = false, value_type = BTreeMap<String, String>, write_only)]
    pub secrets: Secrets,
    /// The key of the object; without it, the name of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 512)]
    pub key: Option<String>,
}

/// A request to export an image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportCreate {
    /// The format of the file.
    pub format: ImageFormat,
    /// The options of the format.
    #[serde(default)]
    #[schema(required = false)]
    pub options: ExportOptions,
    /// A storage of your own that takes the file; without it, the file is kept for a download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<ExportDestination>,
}

/// An export and the task that makes it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ExportAndTask {
    /// The export.
    pub export: ImageExport,
    /// The task.
    pub task: Task,
}
