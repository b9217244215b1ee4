//! Image storages and stock images.

use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

use imprint_domain::{
    id::{HypervisorId, StorageId},
    secret::Secrets,
    storage::StorageRole,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::secret::StorageSecret;

/// An image storage.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageStorage {
    /// The id of the image storage.
    pub id: StorageId,
    /// The name of the image storage; unique.
    pub name: String,
    /// The use of the image storage.
    pub role: StorageRole,
    /// The kind of plugin that accesses the image storage.
    #[schema(example = "local")]
    pub kind: String,
    /// The settings of the plugin.
    pub settings: BTreeMap<String, String>,
    /// The available space in bytes that an agent reported last.
    #[schema(required)]
    pub available_bytes: Option<u64>,
    /// The total space in bytes that an agent reported last.
    #[schema(required)]
    pub total_bytes: Option<u64>,
    /// The time of the last report of an agent.
    #[schema(required)]
    pub seen_at: Option<DateTime<Utc>>,
    /// The reason why the image storage cannot be used, if an agent reported one.
    #[schema(required)]
    pub problem: Option<String>,
    /// The hypervisors that the image storage is bound to.
    pub hypervisor_ids: Vec<HypervisorId>,
    /// The secrets that are set, without their values.
    pub secrets: Vec<StorageSecret>,
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
}
