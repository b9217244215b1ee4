//! Locations and limits.

use imprint_domain::id::LocationId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::patch::nullable;

/// A location, as the asking account may use it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Location {
    /// Its id.
    #[schema(value_type = String, example = "loc_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub id: LocationId,
    /// Its name.
    pub name: String,
    /// Whether images can be created here.
    pub images_enabled: bool,
    /// Images that this account may have here; `null` for no limit.
    #[schema(required)]
    pub image_limit: Option<u32>,
    /// Images that this account has here.
    pub images_used: u32,
}

/// How many images the asking account may have in a location.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Limits {
    /// The location.
    #[schema(value_type = String, example = "loc_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub location_id: LocationId,
    /// Images that this account may have here; `null` for no limit.
    #[schema(required)]
    pub image_limit: Option<u32>,
    /// Images that this account has here.
    pub images_used: u32,
}

/// A location, as the operator set it up.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AdminLocation {
    /// Its id.
    #[schema(value_type = String, example = "loc_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub id: LocationId,
    /// Its name; unique.
    pub name: String,
    /// Whether customers may create images here.
    pub images_enabled: bool,
    /// Images that an account may have here, unless its own limit says otherwise; `null` for no
    /// limit.
    #[schema(required)]
    pub default_image_limit: Option<u32>,
    /// Whether the chain of layers behind a stopped instance's disk is merged before its image is
    /// created, so that the next one is faster; without it the chain is read as one disk and stays.
    pub coalesce_before_capture: bool,
    /// How long merging a chain may take, in seconds; the task then fails with `coalesce_timeout`.
    #[schema(minimum = 1, maximum = 72000)]
    pub coalesce_timeout_s: u32,
    /// How long a capture may freeze a guest's file systems, in milliseconds.
    #[schema(minimum = 100, maximum = 10000)]
    pub freeze_limit_ms: u32,
}

/// Makes a location.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LocationCreate {
    /// Its name; unique.
    #[schema(max_length = 128)]
    pub name: String,
    /// Whether customers may create images here.
    #[serde(default)]
    #[schema(default = false)]
    pub images_enabled: bool,
    /// Images that an account may have here; without it, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_image_limit: Option<u32>,
    /// Whether chains of layers are merged before images are created; without it, yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(default = true)]
    pub coalesce_before_capture: Option<bool>,
    /// How long merging a chain may take, in seconds; without it, two hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 72000, default = 7200)]
    pub coalesce_timeout_s: Option<u32>,
    /// How long a capture may freeze a guest's file systems, in milliseconds; without it, 2000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 10000, default = 2000)]
    pub freeze_limit_ms: Option<u32>,
}

/// Changes a location.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LocationPatch {
    /// Whether customers may create images here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images_enabled: Option<bool>,
    /// Images that an account may have here; `null` for no limit.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    pub default_image_limit: Option<Option<u32>>,
    /// Whether chains of layers are merged before images are created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coalesce_before_capture: Option<bool>,
    /// How long merging a chain may take, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 72000)]
    pub coalesce_timeout_s: Option<u32>,
    /// How long a capture may freeze a guest's file systems, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 10000)]
    pub freeze_limit_ms: Option<u32>,
}

/// Where to look.
#[derive(Clone, Debug, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LimitsQuery {
    /// The location.
    #[param(value_type = String)]
    pub location_id: LocationId,
}
