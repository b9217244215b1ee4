//! Instances and the facts that decide about their captures.

pub(crate) mod capture_facts;
pub(crate) mod coalesce;
pub(crate) mod deploy;
pub(crate) mod devices;
pub(crate) mod install;
pub(crate) mod instance;
mod of_ids;
pub(crate) mod reinstall;
mod seed;
