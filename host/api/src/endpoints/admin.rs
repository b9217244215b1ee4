//! Endpoints for administrators.

pub(crate) mod accounts;
pub(crate) mod billing;
pub(crate) mod hypervisors;
pub(crate) mod instances;
pub(crate) mod isos;
pub(crate) mod locations;
pub(crate) mod media_groups;
pub(crate) mod secrets;
pub(crate) mod stock_images;
pub(crate) mod storage_kinds;
pub(crate) mod storage_scans;
pub(crate) mod storage_tests;
pub(crate) mod storages;
