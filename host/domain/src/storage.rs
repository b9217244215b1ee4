//! Image storages: back ends that hold image files (S5), apart from where stock images and ISOs are
//! (S6).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{id::StorageId, name::Name, size::ByteSize, time::Timestamp};

/// What a storage is for (D5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageRole {
    /// Images captured or imported by customers.
    Customer,
    /// The operator's stock images.
    Stock,
    /// ISO files.
    Iso,
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

impl StorageRole {
    /// As it is stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Stock => "stock",
            Self::Iso => "iso",
        }
    }
}
