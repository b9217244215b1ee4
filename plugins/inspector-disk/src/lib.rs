//! The inspector of disks: partition tables, file systems, the operating system and what is
//! installed in it.
//!
//! Every step is one of these: `table` divides the disk, `volume` recognises what fills a part
//! of it and reads the superblock, `files` are the files in it, and `look` asks them questions.
//! Superblocks and tables are read by code of ours with a bound on every number; the files of ext
//! and FAT by crates, those of NTFS and XFS and the hives of Windows' registry by readers of ours.
//!
//! The disk may be forged: every read counts against the budget of the file system that it is for
//! ([`imprint_plugin_sdk::inspector::Bounded`]), so that what leads in a circle ends, and what
//! cannot be read is a finding with the reason.
//!
//! Not here: LUKS (encrypted), the files of btrfs, UFS, UDF and ISO 9660 (recognised only).

mod bytes;
mod disk;
mod files;
mod look;
mod table;
mod volume;
mod window;

use imprint_plugin_sdk::{
    error::Result,
    host::{Blob, InspectorHost},
    inspector::{Findings, Inspector},
};

/// The inspector.
pub struct DiskInspector;

impl Inspector for DiskInspector {
    fn inspect(host: &dyn InspectorHost, disk: Box<dyn Blob>, skip: &[u64]) -> Result<Findings> {
        disk::inspect(host, disk, skip)
    }
}

imprint_plugin_sdk::export_inspector!(DiskInspector);
