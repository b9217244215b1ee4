//! Connection tests of image storages, as agents get them.

use std::collections::BTreeMap;

use imprint_agent_protocol::{StorageRef, TestStorageAssignment};
use imprint_domain::{Error, id::StorageId, plugin_kind::StorageKind, storage::StorageRole, task::Task};
use imprint_store::{
    Conn,
    secret::{of_storage, of_task},
    storage,
};
use serde::{Deserialize, Serialize};

use crate::db_result::DbResult;

/// The storage that a connection test tries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TestSubject {
    /// The stored storage, if it is one: its secrets count where the test has none of its own.
    pub(crate) storage_id: Option<StorageId>,
    /// Renamed, as `kind` says which payload it is.
    #[serde(rename = "storage_kind")]
    pub(crate) kind: StorageKind,
    pub(crate) role: StorageRole,
    /// Whether it takes no new images.
    #[serde(default)]
    pub(crate) read_only: bool,
    /// The settings to test, complete.
    pub(crate) settings: BTreeMap<String, String>,
}

/// Builds the agent's work for a test; `not_found` when the storage has been removed.
pub(crate) async fn test_assignment(
    conn: &Conn<'_>,
    task: &Task,
    subject: TestSubject,
) -> Result<TestStorageAssignment, Error> {
    let mut has_secrets = !of_task::list(conn, task.id).await.db()?.is_empty();
    let mut initialise = true;
    if let Some(id) = subject.storage_id {
        let record = storage::get(conn, id).await.db()?.ok_or_else(|| Error::not_found("image storage"))?;
        initialise = record.marked_at.is_none();
        has_secrets |= !of_storage::list(conn, id).await.db()?.is_empty();
    }
    Ok(TestStorageAssignment {
        storage: StorageRef {
            // A storage that is not stored has no id; the test's own is as good as any.
            id: subject.storage_id.unwrap_or_else(|| StorageId::new(task.id.uuid())),
            kind: subject.kind,
            settings: subject.settings,
            secrets_version: 0,
            initialise,
        },
        role: subject.role,
        read_only: subject.read_only,
        has_secrets,
    })
}
