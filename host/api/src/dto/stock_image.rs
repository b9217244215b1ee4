//! Stock images.

use imprint_domain::{
    id::{ImageId, LocationId, MediaGroupId, StorageId},
    image::catalogue::OsType,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::patch::nullable;

/// A request to register a file of a stock storage as a stock image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockImageCreate {
    /// The name of the image.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The description of the image.
    #[serde(default)]
    #[schema(max_length = 1024)]
    pub description: String,
    /// The image storage with the file; its role is `stock`.
    pub storage_id: StorageId,
    /// The key of the file in the image storage.
    #[schema(min_length = 1, max_length = 512)]
    pub key: String,
    /// The format of the file.
    #[schema(example = "qcow2", min_length = 1, max_length = 32)]
    pub format: String,
    /// The location where instances can be deployed from the image.
    pub location_id: LocationId,
    /// The operating system; without it, `other`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_type: Option<OsType>,
    /// Whether cloud-init, or what understands the same, sets SSH keys and runs user scripts at the
    /// first boot. Where it does not, instances are created without them.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub cloud_init: bool,
    /// The media group that the image is shown in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_group_id: Option<MediaGroupId>,
    /// The family that the image is a version of: 1 to 64 of `a` to `z`, `0` to `9`, `.`, `-` and
    /// `_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64, example = "debian-12")]
    pub family: Option<String>,
    /// The version within the family, which has to be given with it: 1 to 64 letters, digits, `.`,
    /// `-`, `_` and `+`. Sequences of digits are compared as numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64, example = "20241001")]
    pub family_version: Option<String>,
    /// Whether customers neither see nor deploy the image.
    #[serde(default)]
    #[schema(default = false)]
    pub hidden: bool,
}

const fn yes() -> bool {
    true
}

/// Why an image should not be used for new instances any more, though it can be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deprecation {
    /// The text of the notice, which customers read.
    #[schema(min_length = 1, max_length = 512)]
    pub notice: String,
    /// The stock image to use instead, in the same location.
    #[serde(default)]
    pub replacement_id: Option<ImageId>,
}

/// A request to change a stock image and how it is offered (merge patch).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockImagePatch {
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub name: Option<String>,
    /// The new description; `null` removes it.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 1024)]
    pub description: Option<Option<String>>,
    /// The new operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_type: Option<OsType>,
    /// Whether the system takes SSH keys and user scripts at its first boot from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_init: Option<bool>,
    /// The new media group; `null` takes the image out of its group.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<MediaGroupId>)]
    pub media_group_id: Option<Option<MediaGroupId>>,
    /// The new family; `null` takes the image out of its family, with its version.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 64)]
    pub family: Option<Option<String>>,
    /// The new version within the family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    pub family_version: Option<String>,
    /// The notice that the image should not be used any more; `null` removes it.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Deprecation>)]
    pub deprecation: Option<Option<Deprecation>>,
    /// Whether customers neither see nor deploy the image from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<bool>,
}
