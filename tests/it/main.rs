//! Whole-product tests; see the crate's documentation.

mod browser;
mod capture;
mod chains;
mod command_line;
mod crash;
mod disk;
mod hostile;
mod main_job;
mod trouble;
