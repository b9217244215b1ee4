//! Image storages: back ends that hold image files (S5), apart from where stock images and ISOs are
//! (S6).

use std::collections::BTreeMap;

use crate::{id::StorageId, name::Name, size::ByteSize, string_enum::string_enum, time::Timestamp};

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
    /// Its id.
    pub id: StorageId,
    /// Its name; unique.
    pub name: Name,
    /// What it is for.
    pub role: StorageRole,
    /// The kind of plugin that reaches it: `local`, later `nfs`, `s3`.
    pub kind: String,
    /// The plugin's settings; for `local`: `path`, a folder on the hypervisor's machine.
    pub settings: BTreeMap<String, String>,
    /// Room left, as an agent saw it last.
    pub available: Option<ByteSize>,
    /// Room in all, as an agent saw it last.
    pub total: Option<ByteSize>,
    /// When an agent saw it last.
    pub seen_at: Option<Timestamp>,
}
