//! Storages of customers' own, which exports are written to and imports are read from.

use std::collections::BTreeMap;

use imprint_agent_protocol::StorageRef;
use imprint_domain::{
    id::{StorageId, TaskId},
    plugin_kind::StorageKind,
};
use serde::{Deserialize, Serialize};

/// A storage of a customer. Its secrets are sealed in a table of their own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OwnedStorage {
    /// The kind of plugin. Renamed, as `kind` says which payload it is.
    #[serde(rename = "storage_kind")]
    pub(crate) kind: StorageKind,
    /// The settings, complete.
    pub(crate) settings: BTreeMap<String, String>,
}

impl OwnedStorage {
    /// Returns the storage as the agent of a task opens it.
    pub(crate) fn of_task(self, task: TaskId) -> StorageRef {
        StorageRef {
            // It is not stored, and has no id; the task's is as good as any.
            id: StorageId::new(task.uuid()),
            kind: self.kind,
            settings: self.settings,
            secrets_version: 0,
            initialise: true,
        }
    }
}

/// An object in a storage of a customer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SourceObject {
    /// The storage.
    pub(crate) storage: OwnedStorage,
    /// The key.
    pub(crate) key: String,
}
