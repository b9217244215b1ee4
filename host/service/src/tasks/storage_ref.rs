//! Image storages as agents need them.

use imprint_agent_protocol::StorageRef;
use imprint_store::storage::StorageRecord;

/// Returns a storage as an agent needs it.
pub(crate) fn storage_ref(record: &StorageRecord) -> StorageRef {
    let storage = &record.storage;
    StorageRef {
        id: storage.id,
        kind: storage.kind.clone(),
        settings: storage.settings.clone(),
        secrets_version: storage.secrets_version,
        initialise: record.marked_at.is_none(),
    }
}
