//! Image storages and what the operator puts into them.

use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

use imprint_domain::{
    id::{HypervisorId, StorageId},
    storage::StorageRole,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An image storage.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageStorage {
    /// Its id.
    #[schema(value_type = String, example = "sto_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub id: StorageId,
    /// Its name; unique.
    pub name: String,
    /// What it is for.
    pub role: StorageRole,
    /// The kind of plugin that reaches it.
    #[schema(example = "local")]
    pub kind: String,
    /// The plugin's settings.
    pub settings: BTreeMap<String, String>,
    /// Room left, in bytes, as an agent saw it last.
    #[schema(required)]
    pub available_bytes: Option<u64>,
    /// Room in all, in bytes, as an agent saw it last.
    #[schema(required)]
    pub total_bytes: Option<u64>,
    /// When an agent saw it last.
    #[schema(required)]
    pub seen_at: Option<DateTime<Utc>>,
    /// Why it cannot be used, if an agent said so.
    #[schema(required)]
    pub problem: Option<String>,
    /// The hypervisors that use it.
    #[schema(value_type = Vec<String>)]
    pub hypervisor_ids: Vec<HypervisorId>,
}

/// Makes an image storage known.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageStorageCreate {
    /// Its name; unique.
    #[schema(max_length = 128)]
    pub name: String,
    /// What it is for.
    pub role: StorageRole,
    /// The kind of plugin that reaches it.
    #[schema(example = "local", max_length = 64)]
    pub kind: String,
    /// The plugin's settings; for `local`: `path`, a folder on the hypervisor's machine.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}
