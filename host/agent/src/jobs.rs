//! Jobs: what the agent does for each kind of assignment, and how it is undone.

pub(crate) mod capture;
pub(crate) mod cleanup;
pub(crate) mod coalesce;
pub(crate) mod control;
pub(crate) mod copy;
pub(crate) mod deploy;
pub(crate) mod devices;
pub(crate) mod export;
pub(crate) mod image;
pub(crate) mod import;
pub(crate) mod inside;
pub(crate) mod iso;
pub(crate) mod job;
mod layers;
mod peer;
pub(crate) mod power;
pub(crate) mod publish;
pub(crate) mod reinstall;
pub(crate) mod relocate;
pub(crate) mod scan;
mod seed;
pub(crate) mod storage_test;
pub(crate) mod undo;
pub(crate) mod upload;
mod watched;
