//! The provider's resources: locations, hypervisors, image storages and media groups; and which
//! stock images are offered.

pub(crate) mod hypervisor;
pub(crate) mod location;
pub(crate) mod media_group;
pub(crate) mod offer;
pub(crate) mod storage;
pub(crate) mod storage_kind;
pub(crate) mod storage_secrets;
pub(crate) mod storage_test;
