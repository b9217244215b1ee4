//! Image storages: back ends that hold image files (S5), apart from where stock images and ISOs are
//! (S6).

use std::collections::BTreeMap;

use crate::{
    id::StorageId, name::Name, plugin_kind::StorageKind, size::ByteSize, string_enum::string_enum,
    time::Timestamp,
};

string_enum! {
    /// The purpose of an image storage (D5).
    pub enum StorageRole {
        /// Images captured or imported by customers.
        Customer = "customer",
        /// The operator's stock images.
        Stock = "stock",
        /// ISO files.
        Iso = "iso",
    }
}

/// An image storage. It is bound to the hypervisors that use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageStorage {
    /// The storage's id.
    pub id: StorageId,
    /// The unique name.
    pub name: Name,
    /// The purpose of the storage.
    pub role: StorageRole,
    /// The plugin that reaches it.
    pub kind: StorageKind,
    /// The plugin's settings; for `local`: `path`, a folder on the hypervisor's machine.
    pub settings: BTreeMap<String, String>,
    /// The free space that an agent saw last.
    pub available: Option<ByteSize>,
    /// The total space that an agent saw last.
    pub total: Option<ByteSize>,
    /// When an agent reported it last.
    pub seen_at: Option<Timestamp>,
    /// Grows with every change of the secrets, so that agents fetch them again; 0 when there never
    /// were any.
    pub secrets_version: u64,
}
