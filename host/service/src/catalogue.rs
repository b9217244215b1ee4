//! The provider's resources: locations, hypervisors and image storages.

pub(crate) mod hypervisor;
pub(crate) mod location;
pub(crate) mod storage;
