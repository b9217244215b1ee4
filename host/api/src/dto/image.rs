//! Images.

use chrono::{DateTime, Utc};
use imprint_domain::{
    consistency::Consistency,
    id::{ImageId, InstanceId, LocationId, TaskId},
    image::{Compression, ImageKind, ImageStatus},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{patch::nullable, task::Task};

/// An image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Image {
    /// Its id.
    #[schema(value_type = String, example = "img_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub id: ImageId,
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// How it came to be.
    pub kind: ImageKind,
    /// Where it is in its life.
    pub status: ImageStatus,
    /// The same as a sentence.
    pub status_text: String,
    /// Where it can be used.
    #[schema(value_type = String)]
    pub location_id: LocationId,
    /// The instance that it was captured from, which may be gone by now.
    #[schema(required)]
    pub source_instance: Option<SourceInstance>,
    /// Bytes in the image storage; `null` until it is stored.
    #[schema(required)]
    pub size_bytes: Option<u64>,
    /// Bytes of the disk that a guest sees; `null` until it is stored.
    #[schema(required)]
    pub virtual_size_bytes: Option<u64>,
    /// How it is stored: `qcow2` or `raw`; a stock image as it came (`vmdk`, `ova`, ...).
    #[schema(required)]
    pub format: Option<String>,
    /// How consistent the disk was.
    #[schema(required)]
    pub consistency: Option<Consistency>,
    /// The same for the same disk in every format.
    #[schema(required)]
    pub logical_digest: Option<String>,
    /// Of the stored file.
    #[schema(required)]
    pub stored_digest: Option<String>,
    /// The last task that worked on it.
    #[schema(required, value_type = Option<String>)]
    pub task_id: Option<TaskId>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it became available.
    #[schema(required)]
    pub available_at: Option<DateTime<Utc>>,
    /// Changes with every change; also the `ETag`.
    pub version: u32,
}

/// The instance that an image was captured from.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SourceInstance {
    /// Its id.
    #[schema(value_type = String)]
    pub id: InstanceId,
    /// Its name at that time.
    pub name: String,
}

/// What kind of thing a new image is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageSourceType {
    /// The primary disk of an instance.
    Instance,
}

/// What a new image is made from.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageSource {
    /// What kind of thing.
    #[serde(rename = "type")]
    pub kind: ImageSourceType,
    /// Which one.
    #[schema(value_type = String, example = "ins_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub id: InstanceId,
}

/// How consistent a capture should be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyWish {
    /// The level to try for; without it, `application`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub want: Option<Consistency>,
    /// The weakest level that is still a success; without it, `crash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Consistency>,
}

/// Makes an image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageCreate {
    /// From what.
    pub source: ImageSource,
    /// The image's name.
    #[schema(max_length = 128, example = "production-web-server-v2")]
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// How its bytes are encoded; without it, `zstd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// How consistent it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<ConsistencyWish>,
}

/// Makes an image from the instance that the path names.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceImageCreate {
    /// The image's name.
    #[schema(max_length = 128, example = "production-web-server-v2")]
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// How its bytes are encoded; without it, `zstd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// How consistent it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<ConsistencyWish>,
}

/// Changes an image (merge patch).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImagePatch {
    /// Its new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 128)]
    pub name: Option<String>,
    /// Its new description; `null` clears it.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 1024)]
    pub description: Option<Option<String>>,
}

/// An image and the task that works on it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageAndTask {
    /// The image, as it is now.
    pub image: Image,
    /// The task.
    pub task: Task,
}

/// Whose images to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageScope {
    /// The account's own.
    #[default]
    Own,
    /// The operator's stock images.
    Stock,
    /// Both.
    All,
}

/// Which images to list, and how.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImageListQuery {
    /// Whose images; without it, the account's own.
    #[serde(default)]
    #[param(inline)]
    pub scope: ImageScope,
    /// Only these statuses, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = "available,error")]
    pub status: Option<String>,
    /// Only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub location_id: Option<LocationId>,
    /// The order: `created_at`, `name` or `size_bytes`, with `-` in front for descending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(default = "-created_at", example = "-created_at")]
    pub sort: Option<String>,
    /// Items of a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(default = 50, minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// Where to go on, from the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}
