//! Locations and limits.

use imprint_domain::{
    capture_format::CaptureFormat, id::LocationId, import::ImportProfile, limits::LimitScope,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::patch::nullable;

/// A location, as customers see it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Location {
    /// The id of the location.
    pub id: LocationId,
    /// The name of the location.
    pub name: String,
    /// Whether images can be created in the location.
    pub images_enabled: bool,
    /// Whether images can be shared in the location, and shared ones deployed.
    pub sharing_enabled: bool,
    /// The format that images of instances are stored in, unless a request names another one.
    pub capture_format: CaptureFormat,
    /// Whether ISOs can be mounted in the location.
    pub iso_enabled: bool,
    /// Whether images can be imported in the location.
    pub import_enabled: bool,
    /// Which files are imported: any disk, or a single file in VHD format only.
    pub import_profile: ImportProfile,
    /// The largest disk that is imported, in bytes as a guest sees it.
    pub import_limit_bytes: u64,
    /// Whether disks with Windows are imported.
    pub import_windows: bool,
    /// Whether images can be exported in the location.
    pub export_enabled: bool,
    /// The limits of this account, with what it uses.
    #[serde(flatten)]
    pub limits: ImageLimits,
}

/// The limits of an account's images in a location, with what is used of them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageLimits {
    /// The most images; `null` for no limit.
    #[schema(required)]
    pub image_limit: Option<u32>,
    /// The number of images, counted in the scope of the limit.
    pub images_used: u32,
    /// What that limit counts: all images of the account, or those in the location.
    pub image_limit_scope: LimitScope,
    /// The most bytes of images; `null` for no limit.
    #[schema(required)]
    pub image_bytes_limit: Option<u64>,
    /// The bytes of images, counted in the scope of the limit. An image that is being created takes
    /// what it may need.
    pub image_bytes_used: u64,
    /// What that limit counts: all images of the account, or those in the location.
    pub image_bytes_limit_scope: LimitScope,
}

/// The limits of this account in a location.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Limits {
    /// The location.
    pub location_id: LocationId,
    /// The limits, with what is used.
    #[serde(flatten)]
    pub limits: ImageLimits,
}

/// A location with its settings.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AdminLocation {
    /// The id of the location.
    pub id: LocationId,
    /// The name of the location; unique.
    pub name: String,
    /// Whether customers can create images in the location.
    pub images_enabled: bool,
    /// Whether customers can share images in the location, and deploy shared ones.
    pub sharing_enabled: bool,
    /// Whether customers can mount ISOs in the location.
    pub iso_enabled: bool,
    /// Whether customers can export their images in the location.
    pub export_enabled: bool,
    /// The most images of an account without a limit of its own in the location; `null` for no
    /// limit.
    #[schema(required)]
    pub default_image_limit: Option<u32>,
    /// The most bytes of images of an account without a limit of its own in the location; `null`
    /// for no limit.
    #[schema(required)]
    pub default_image_bytes_limit: Option<u64>,
    /// Whether the layers of a stopped instance's disk are merged before its image is created,
    /// which makes the next image faster. Otherwise the layers are read as one disk and kept.
    pub coalesce_before_capture: bool,
    /// The longest time that merging layers may take, in seconds. After it the task fails with
    /// `coalesce_timeout`.
    #[schema(minimum = 1, maximum = 72000)]
    pub coalesce_timeout_s: u32,
    /// The longest time that a capture may freeze a guest's file systems, in milliseconds.
    #[schema(minimum = 100, maximum = 10000)]
    pub freeze_limit_ms: u32,
    /// Whether customers can import images in the location.
    pub import_enabled: bool,
    /// Which files are imported: any disk, or a single file in VHD format only.
    pub import_profile: ImportProfile,
    /// The largest disk that is imported, in bytes as a guest sees it.
    pub import_limit_bytes: u64,
    /// Whether disks with Windows are imported.
    pub import_windows: bool,
    /// The longest time that a capture waits for a running guest that gives back the space which
    /// its file systems do not use any more, in seconds; 0 where it is not asked.
    #[schema(maximum = 3600)]
    pub reclaim_limit_s: u32,
    /// The format that images of instances are stored in, unless a request names another one.
    pub capture_format: CaptureFormat,
    /// The largest Windows disk that images are created of, now and ever, in bytes.
    pub windows_limit_bytes: u64,
    /// The content of a Windows disk in bytes from which on a notice recommends to create an image.
    pub windows_warning_bytes: u64,
    /// What failed captures tell customers about the provider's support.
    #[schema(required)]
    pub support_text: Option<String>,
    /// The page of the support.
    #[schema(required)]
    pub support_url: Option<String>,
    /// The page that says which parts of the system do not work.
    #[schema(required)]
    pub status_url: Option<String>,
    /// The version of the location, which increases with every change; also the `ETag`.
    pub version: u32,
}

/// A request to create a location.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LocationCreate {
    /// The name of the location; unique.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// Whether customers can create images in the location.
    #[serde(default)]
    #[schema(default = false)]
    pub images_enabled: bool,
    /// Whether customers can share images in the location, and deploy shared ones.
    #[serde(default)]
    #[schema(default = false)]
    pub sharing_enabled: bool,
    /// Whether customers can mount ISOs in the location.
    #[serde(default)]
    #[schema(default = false)]
    pub iso_enabled: bool,
    /// Whether customers can import images in the location.
    #[serde(default)]
    #[schema(default = false)]
    pub import_enabled: bool,
    /// Whether customers can export their images in the location.
    #[serde(default)]
    #[schema(default = false)]
    pub export_enabled: bool,
    /// The most images of an account in the location; without it, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_image_limit: Option<u32>,
    /// The most bytes of images of an account in the location; without it, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_image_bytes_limit: Option<u64>,
    /// Whether the layers of disks are merged before images are created; without it, yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(default = true)]
    pub coalesce_before_capture: Option<bool>,
    /// The longest time that merging layers may take, in seconds; without it, two hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 72000, default = 7200)]
    pub coalesce_timeout_s: Option<u32>,
    /// The longest time that a capture may freeze a guest's file systems, in milliseconds; without
    /// it, 2000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 10000, default = 2000)]
    pub freeze_limit_ms: Option<u32>,
}

/// A request to change a location (merge patch).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LocationPatch {
    /// Whether customers can create images in the location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images_enabled: Option<bool>,
    /// Whether customers can share images in the location, and deploy shared ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing_enabled: Option<bool>,
    /// Whether customers can mount ISOs in the location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iso_enabled: Option<bool>,
    /// Whether customers can export their images in the location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_enabled: Option<bool>,
    /// The most images of an account in the location; `null` for no limit.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    pub default_image_limit: Option<Option<u32>>,
    /// The most bytes of images of an account in the location; `null` for no limit.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub default_image_bytes_limit: Option<Option<u64>>,
    /// Whether the layers of disks are merged before images are created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coalesce_before_capture: Option<bool>,
    /// The longest time that merging layers may take, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 72000)]
    pub coalesce_timeout_s: Option<u32>,
    /// The longest time that a capture may freeze a guest's file systems, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 10000)]
    pub freeze_limit_ms: Option<u32>,
    /// Whether customers can import images in the location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import_enabled: Option<bool>,
    /// Which files are imported: any disk, or a single file in VHD format only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import_profile: Option<ImportProfile>,
    /// The largest disk that is imported, in bytes as a guest sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import_limit_bytes: Option<u64>,
    /// Whether disks with Windows are imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import_windows: Option<bool>,
    /// The longest time that a capture waits for a running guest that gives back the space which
    /// its file systems do not use any more, in seconds; 0 does not ask it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 3600)]
    pub reclaim_limit_s: Option<u32>,
    /// The format that images of instances are stored in, unless a request names another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture_format: Option<CaptureFormat>,
    /// The largest Windows disk that images are created of, now and ever, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows_limit_bytes: Option<u64>,
    /// The content of a Windows disk in bytes from which on a notice recommends to create an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows_warning_bytes: Option<u64>,
    /// What failed captures tell customers about the provider's support, in one line; `null`
    /// removes it.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 500)]
    pub support_text: Option<Option<String>>,
    /// The page of the support, of `https` or `http`; `null` removes it.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 2048)]
    pub support_url: Option<Option<String>>,
    /// The page that says which parts of the system do not work, of `https` or `http`; `null`
    /// removes it.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 2048)]
    pub status_url: Option<Option<String>>,
}

/// The location to show the limit of.
#[derive(Clone, Debug, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LimitsQuery {
    /// The location.
    pub location_id: LocationId,
}
