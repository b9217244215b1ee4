//! Image storages.

use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

use imprint_domain::{
    id::{HypervisorId, StorageId},
    image::ImageStatus,
    secret::Secrets,
    storage::{HealthClass, StorageRole, StorageState},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{patch::nullable, secret::StorageSecret};

/// An image storage.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageStorage {
    /// The id of the image storage.
    pub id: StorageId,
    /// The name of the image storage; unique.
    pub name: String,
    /// The use of the image storage. It never changes.
    pub role: StorageRole,
    /// The kind of plugin that accesses the image storage.
    #[schema(example = "local")]
    pub kind: String,
    /// The settings of the plugin.
    pub settings: BTreeMap<String, String>,
    /// What the image storage takes.
    pub state: StorageState,
    /// How much the image storage is preferred for new images: it is multiplied with the free
    /// space. 0 takes images only when a request names the storage.
    #[schema(minimum = 0, maximum = 1000)]
    pub weight: u32,
    /// Whether the path is the same storage on every machine; for kinds that are a folder.
    pub shared_path: bool,
    /// The free space in bytes below which the image storage is nearly full; `null` for 5 % of it,
    /// at most 10 GiB.
    #[schema(required)]
    pub min_free_bytes: Option<u64>,
    /// Where images move while the state is `draining`; `null` chooses for each image.
    #[schema(required)]
    pub drain_to: Option<StorageId>,
    /// The worst health that any bound hypervisor reported.
    pub health: HealthClass,
    /// What an operator has to know about it, with the hypervisor's name; `null` when nothing is
    /// wrong.
    #[schema(required)]
    pub problem: Option<String>,
    /// The smallest available space in bytes that an agent reported last.
    #[schema(required)]
    pub available_bytes: Option<u64>,
    /// The total space in bytes that an agent reported last.
    #[schema(required)]
    pub total_bytes: Option<u64>,
    /// The part of the available space in bytes that is reserved for tasks.
    pub reserved_bytes: u64,
    /// The time of the last report of an agent.
    #[schema(required)]
    pub seen_at: Option<DateTime<Utc>>,
    /// The hypervisors that the image storage is bound to.
    pub hypervisor_ids: Vec<HypervisorId>,
    /// The secrets that are set, without their values.
    pub secrets: Vec<StorageSecret>,
    /// The same hypervisors, each with what its agent reported.
    pub bindings: Vec<StorageBinding>,
    /// The images on the storage, by status. Statuses without images are left out.
    pub images: Vec<StorageImages>,
    /// The time of creation.
    pub created_at: DateTime<Utc>,
    /// The version of the image storage, which increases with every change; also its `ETag`.
    pub version: u32,
}

/// A hypervisor that an image storage is bound to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StorageBinding {
    /// The hypervisor.
    pub hypervisor_id: HypervisorId,
    /// How well the hypervisor can use the image storage.
    pub health: HealthClass,
    /// What an operator has to know about it.
    #[schema(required)]
    pub problem: Option<String>,
    /// The available space in bytes.
    #[schema(required)]
    pub available_bytes: Option<u64>,
    /// The total space in bytes.
    #[schema(required)]
    pub total_bytes: Option<u64>,
    /// The time of the agent's last report.
    #[schema(required)]
    pub seen_at: Option<DateTime<Utc>>,
}

/// The images of one status on an image storage.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StorageImages {
    /// The status.
    pub status: ImageStatus,
    /// The number of images.
    pub count: u64,
    /// The bytes of their files, as far as they are stored.
    pub bytes: u64,
}

/// A request to register an image storage.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageStorageCreate {
    /// The name of the image storage; unique.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The use of the image storage.
    pub role: StorageRole,
    /// The kind of plugin that accesses the image storage.
    #[schema(example = "local", min_length = 1, max_length = 64)]
    pub kind: String,
    /// The settings of the plugin; for `local`: `path`, a folder on the hypervisor's machine.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// The secrets of the plugin, which are stored sealed and which no answer has.
    #[serde(default, with = "imprint_domain::secret::exposed", skip_serializing_if = "Secrets::is_empty")]
    #[schema(required = false, value_type = BTreeMap<String, String>, write_only)]
    pub secrets: Secrets,
    /// How much the image storage is preferred for new images; without it, 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1000, default = 100)]
    pub weight: Option<u32>,
    /// Whether the path is the same storage on every machine; for kinds that are a folder.
    #[serde(default)]
    #[schema(default = false)]
    pub shared_path: bool,
    /// The free space in bytes below which the image storage is nearly full; without it, 5 % of it,
    /// at most 10 GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_free_bytes: Option<u64>,
}

/// A request to change an image storage (merge patch). The role and the kind never change.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageStoragePatch {
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub name: Option<String>,
    /// All settings of the plugin. Files do not move when a path changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<BTreeMap<String, String>>,
    /// What the image storage takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StorageState>,
    /// Where images move while the state is `draining`; `null` chooses for each image.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<StorageId>)]
    pub drain_to: Option<Option<StorageId>>,
    /// How much the image storage is preferred for new images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1000)]
    pub weight: Option<u32>,
    /// Whether the path is the same storage on every machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_path: Option<bool>,
    /// The free space in bytes below which the image storage is nearly full; `null` for the
    /// default.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub min_free_bytes: Option<Option<u64>>,
}

/// The image storages to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StorageListQuery {
    /// Only image storages of this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub role: Option<StorageRole>,
    /// Only image storages in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub state: Option<StorageState>,
    /// Only image storages of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = "local")]
    pub kind: Option<String>,
    /// Only image storages that are bound to this hypervisor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypervisor_id: Option<HypervisorId>,
    /// The number of items of a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(default = 50, minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// The `next_page_token` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}

/// How a binding is ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UnbindQuery {
    /// Whether also the last hypervisor of an image storage with images is unbound.
    #[serde(default)]
    #[param(default = false)]
    pub force: bool,
}
