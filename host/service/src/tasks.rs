//! Tasks: queueing, leases, execution by agents, and what their ends mean. Below the use cases of
//! images and instances, which queue them.

pub(crate) mod capture_failure;
mod device_results;
pub(crate) mod devices;
pub(crate) mod export_state;
pub(crate) mod finish;
pub(crate) mod hub;
pub(crate) mod lease;
pub(crate) mod lifecycle;
pub(crate) mod moves;
pub(crate) mod owned_storage;
pub(crate) mod payload;
pub(crate) mod reconcile;
mod retry;
pub(crate) mod scheduler;
pub(crate) mod storage_ref;
pub(crate) mod storage_test;
pub(crate) mod task;
