//! The provider's resources: locations, hypervisors and image storages.

pub(crate) mod hypervisor;
pub(crate) mod location;
pub(crate) mod storage;
pub(crate) mod storage_kind;
pub(crate) mod storage_secrets;
pub(crate) mod storage_test;
