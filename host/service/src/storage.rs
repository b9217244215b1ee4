//! Image storages and their binding to hypervisors (S92 to S95).

use std::collections::BTreeMap;

use imprint_domain::{
    Error,
    id::{HypervisorId, StorageId},
    name::Name,
    size::ByteSize,
    storage::StorageRole,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{Op, Page, PageRequest, Service};

/// An image storage, as admins see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageView {
    /// Its id.
    pub id: StorageId,
    /// Its name.
    pub name: Name,
    /// What it is for.
    pub role: StorageRole,
    /// The kind of plugin: `local`.
    pub kind: String,
    /// The plugin's settings; for `local`: `path`.
    pub settings: BTreeMap<String, String>,
    /// Room left, as an agent saw it last.
    pub available_bytes: Option<ByteSize>,
    /// Room in all.
    pub total_bytes: Option<ByteSize>,
    /// When an agent saw it last.
    pub seen_at: Option<Timestamp>,
    /// Why it cannot be used, if an agent said so.
    pub problem: Option<String>,
    /// Hypervisors that use it.
    pub hypervisor_ids: Vec<HypervisorId>,
}

/// A new image storage.
#[derive(Clone, Debug)]
pub struct StorageCreate {
    /// Unique.
    pub name: Name,
    /// What it is for.
    pub role: StorageRole,
    /// The kind of plugin: `local`.
    pub kind: String,
    /// The plugin's settings; for `local`: `path`, absolute.
    pub settings: BTreeMap<String, String>,
}

impl Service {
    /// All image storages, oldest first. Admins only.
    pub async fn storage_list(&self, op: &Op, page: &PageRequest) -> Result<Page<StorageView>, Error> {
        pending!(op, page)
    }

    /// Creates an image storage. Admins only; `name_taken`.
    pub async fn storage_create(&self, op: &Op, request: StorageCreate) -> Result<StorageView, Error> {
        pending!(op, request)
    }

    /// Binds a storage to a hypervisor; binding twice changes nothing. Admins only.
    pub async fn storage_bind(
        &self,
        op: &Op,
        id: StorageId,
        hypervisor_id: HypervisorId,
    ) -> Result<StorageView, Error> {
        pending!(op, id, hypervisor_id)
    }
}
