//! Whole-product tests; see the crate's documentation.

mod browser;
mod capture;
mod chains;
mod changing;
mod coalesce;
mod command_line;
mod corpus;
mod crash;
mod devices;
mod disk;
mod formats;
mod guest_stream;
mod hostile;
mod https;
mod main_job;
mod mover;
mod ova;
mod trouble;
