//! Media groups.

use chrono::{DateTime, Utc};
use imprint_domain::id::MediaGroupId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::patch::nullable;

/// A labelled set of stock images that are shown together.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MediaGroup {
    /// The id of the media group.
    pub id: MediaGroupId,
    /// The label of the media group; unique.
    #[schema(example = "Linux")]
    pub label: String,
    /// The description of the media group.
    pub description: String,
    /// The place among all media groups, from 0. Customers do not see hidden groups, so that they
    /// may miss some numbers.
    pub position: u32,
    /// Whether the images of the media group are not offered to customers.
    pub hidden: bool,
    /// The time at which the media group was added.
    pub created_at: DateTime<Utc>,
    /// The version of the media group, which increases with every change; also its `ETag`.
    pub version: u32,
}

/// The media groups in their order; at most 100.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MediaGroups {
    /// The media groups.
    pub items: Vec<MediaGroup>,
}

/// A request to add a media group.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MediaGroupCreate {
    /// The label of the media group; unique.
    #[schema(min_length = 1, max_length = 128, example = "Linux")]
    pub label: String,
    /// The description of the media group.
    #[serde(default)]
    #[schema(max_length = 1024)]
    pub description: String,
    /// The place among all media groups, from 0; without it, the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// Whether the images of the media group are not offered to customers.
    #[serde(default)]
    #[schema(default = false)]
    pub hidden: bool,
}

/// A request to change a media group (merge patch).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MediaGroupPatch {
    /// The new label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub label: Option<String>,
    /// The new description; `null` removes it.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 1024)]
    pub description: Option<Option<String>>,
    /// The new place among all media groups, from 0; the others make room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// Whether the images of the media group are not offered to customers from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<bool>,
}
