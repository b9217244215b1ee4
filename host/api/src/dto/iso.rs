//! ISOs.

use chrono::{DateTime, Utc};
use imprint_domain::{
    id::{IsoId, LocationId, StorageId, TaskId},
    iso::{IsoOsType, IsoStatus},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{patch::nullable, task::Task};

/// An ISO that can be mounted, as customers see it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Iso {
    /// The id of the ISO.
    pub id: IsoId,
    /// The name of the ISO.
    pub name: String,
    /// The description of the ISO.
    pub description: String,
    /// The family of its system, where the provider says so.
    #[schema(required)]
    pub os_type: Option<IsoOsType>,
    /// The location where it can be mounted.
    pub location_id: LocationId,
    /// The size of the file in bytes.
    #[schema(required)]
    pub size_bytes: Option<u64>,
    /// The time of its registration.
    pub created_at: DateTime<Utc>,
}

/// An ISO with what its operator knows of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AdminIso {
    /// The id of the ISO.
    pub id: IsoId,
    /// The name of the ISO; unique in the location.
    pub name: String,
    /// The description of the ISO.
    pub description: String,
    /// The family of its system.
    #[schema(required)]
    pub os_type: Option<IsoOsType>,
    /// The location where it can be mounted.
    pub location_id: LocationId,
    /// The status: only an ISO that is `available` can be mounted.
    pub status: IsoStatus,
    /// Whether customers do not see it. Instances that have it mounted keep it.
    pub hidden: bool,
    /// The image storage with the file.
    pub storage_id: StorageId,
    /// The key of the file in the image storage.
    pub key: String,
    /// The size of the file in bytes, once it was read.
    #[schema(required)]
    pub size_bytes: Option<u64>,
    /// The digest of the file, once it was read.
    #[schema(required)]
    pub digest: Option<String>,
    /// The label of the volume, once it was read; may be empty.
    #[schema(required)]
    pub label: Option<String>,
    /// The task that checks and reads the file.
    pub task_id: TaskId,
    /// The time of its registration.
    pub created_at: DateTime<Utc>,
}

/// A request to register a file as an ISO.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IsoCreate {
    /// The name of the ISO; unique in the location.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The description of the ISO.
    #[serde(default)]
    #[schema(max_length = 1024)]
    pub description: String,
    /// The family of its system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_type: Option<IsoOsType>,
    /// Whether customers do not see it.
    #[serde(default)]
    #[schema(default = false)]
    pub hidden: bool,
    /// The image storage with the file; its role is `iso`.
    pub storage_id: StorageId,
    /// The key of the file in the image storage.
    #[schema(min_length = 1, max_length = 512)]
    pub key: String,
    /// The location where it can be mounted.
    pub location_id: LocationId,
}

/// A request to change an ISO (merge patch).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IsoPatch {
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub name: Option<String>,
    /// The new description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub description: Option<String>,
    /// The family of its system; `null` for none.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<IsoOsType>)]
    pub os_type: Option<Option<IsoOsType>>,
    /// Whether customers do not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<bool>,
}

/// An ISO and its task.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct IsoAndTask {
    /// The current state of the ISO.
    pub iso: AdminIso,
    /// The task.
    pub task: Task,
}

/// A request to put an ISO into the drive of an instance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IsoMountRequest {
    /// The ISO.
    pub iso_id: IsoId,
    /// Whether the machine boots from it first, at its next start and at each one after it until it
    /// is ejected.
    #[serde(default)]
    #[schema(default = false)]
    pub boot_from_cd: bool,
}

/// The ISO in the drive of an instance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MountedIso {
    /// The id of the ISO.
    pub id: IsoId,
    /// The name of the ISO.
    pub name: String,
    /// Whether the machine boots from it first at each start.
    pub boot_from_cd: bool,
}

/// A request to attach an empty disk to an instance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskAttach {
    /// The size of the disk in bytes: 1 MiB to 64 TiB, a multiple of 512.
    #[schema(minimum = 1048576)]
    pub size_bytes: u64,
}

/// The ISOs to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct IsoListQuery {
    /// Only ISOs of this location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location_id: Option<LocationId>,
    /// The number of items of a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(default = 50, minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// The `next_page_token` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}
