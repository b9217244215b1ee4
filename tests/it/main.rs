//! Whole-product tests; see the crate's documentation.

mod author;
mod browser;
mod capture;
mod capture_and_deploy;
mod chains;
mod changing_sources;
mod coalesce;
mod command_line;
mod corpus;
mod crash;
mod devices;
mod disk;
mod failures;
mod formats;
mod guest_stream;
mod hostile;
mod https;
mod mover;
mod nfs;
mod object_storage;
mod ova;
mod plugins;
mod storage_folder;
mod storage_scan;
mod storage_settings;
mod swift;
