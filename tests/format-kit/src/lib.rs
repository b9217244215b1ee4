//! What the tests of every format plugin need: images over files and bytes, whole maps and whole
//! disks read by them, a host that writes by the rules of a layout, and the reference
//! implementation's tools.
//!
//! Everything here fails the test that it helps: what a plugin owes the host with every answer is
//! asserted on the way.
//!
//! Not here: how an image of one format is built or spoilt.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test that they help")]

mod image;
mod marks;
mod numbers;
mod open;
pub mod qemu;
mod read;
mod work;
mod write;

pub use image::{
    aliased, aliased_behind, all_findings, all_ranges, assert_sound, count, exercise, faults, is_refused,
    outcome, whole_map,
};
pub use marks::known_by_their_marks;
pub use numbers::Numbers;
pub use open::{blob, code, open_bytes, open_file, open_with};
pub use read::{disk_in_bytes, disk_in_file, disk_in_files};
pub use work::assert_calls_are_short;
pub use write::{create, noise, write_image, write_tables};
