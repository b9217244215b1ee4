//! The inspector over real file systems, made by the programs of their systems, and over hostile
//! ones.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test that they help")]

mod hostile;
mod linux;
mod support;
mod tables;
mod volumes;
mod windows;
