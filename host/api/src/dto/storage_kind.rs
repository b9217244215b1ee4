//! Kinds of image storages.

use imprint_domain::id::HypervisorId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A kind of image storage that a plugin provides.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StorageKind {
    /// The name of the kind, for `kind` of an image storage.
    #[schema(example = "local")]
    pub kind: String,
    /// The plugin that provides it: the newest version where hypervisors have several.
    #[schema(example = "storage-local")]
    pub plugin: String,
    /// The version of the plugin.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// A human-readable summary in one line.
    pub summary: String,
    /// The JSON Schema (draft 2020-12) of the settings; `null` when the plugin has none, so that
    /// any settings are accepted. A property with `writeOnly` is one of the secrets.
    #[schema(required, value_type = Option<Object>)]
    pub schema: Option<serde_json::Value>,
    /// The hypervisors that have the kind.
    pub hypervisors: Vec<StorageKindHypervisor>,
    /// What is wrong when the hypervisors have different plugins; `null` when they agree.
    #[schema(required)]
    pub conflict: Option<String>,
}

/// The plugin that provides a kind of image storage on one hypervisor.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StorageKindHypervisor {
    /// The id of the hypervisor.
    pub hypervisor_id: HypervisorId,
    /// The plugin on it.
    pub plugin: String,
    /// The version of the plugin on it.
    pub version: String,
}

/// The kinds of image storages.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StorageKinds {
    /// All of them, in the order of their names.
    pub items: Vec<StorageKind>,
}
