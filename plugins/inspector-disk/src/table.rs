//! Partition tables.

mod gpt;
mod mbr;

use imprint_plugin_sdk::{
    error::{Error, Result},
    inspector::{Partition, Scheme},
};

use crate::{bytes::is_at, window::Window};

/// The bytes of a sector that addresses in an MBR count.
const SECTOR: u64 = 512;
/// The most partitions that are reported.
const MAX_PARTITIONS: usize = 256;
/// The type of the system partition of UEFI in a GPT, and in an MBR.
pub(crate) const EFI_SYSTEM: [&str; 2] = ["c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "0xef"];
/// The type of the partition that GRUB keeps its core in, for a BIOS.
pub(crate) const BIOS_BOOT: &str = "21686148-6449-6e6f-744e-656564454649";

/// A partition table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) scheme: Scheme,
    pub(crate) partitions: Vec<Partition>,
    /// What the boot sector starts.
    pub(crate) boot_code: BootCode,
    /// Why a part of the table was not read.
    pub(crate) unread: Option<Error>,
}

/// What the code in a boot sector belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BootCode {
    /// There is none.
    #[default]
    None,
    /// GRUB.
    Grub,
    /// SYSLINUX or its kin.
    Syslinux,
    /// Windows.
    Windows,
    /// Code that is not known.
    Other,
}

/// Reads the partition table of a disk whose first sectors are `head`.
pub(crate) fn read(disk: &Window, head: &[u8]) -> Table {
    let mut table = Table { boot_code: boot_code(head), ..Table::default() };
    if !is_at(head, 510, &[0x55, 0xaa]) {
        // A GPT whose protective table is gone is still one to UEFI, but to no system.
        return table;
    }
    let entries = mbr::entries(head);
    if !mbr::is_plausible(&entries) {
        return table;
    }
    if entries.iter().any(|entry| entry.kind == mbr::PROTECTIVE) {
        match gpt::read(disk) {
            Ok(Some(partitions)) => {
                table.scheme = Scheme::Gpt;
                table.partitions = partitions;
                table.partitions.truncate(MAX_PARTITIONS);
                return table;
            }
            Ok(None) => {}
            Err(error) => table.unread = Some(error),
        }
    }
    table.scheme = Scheme::Mbr;
    let (partitions, failed) = mbr::partitions(disk, &entries);
    table.partitions = partitions;
    table.partitions.truncate(MAX_PARTITIONS);
    table.unread = table.unread.or(failed);
    table
}

/// Returns what the code in a boot sector belongs to, by the texts that it prints.
fn boot_code(head: &[u8]) -> BootCode {
    let code = head.get(..440).unwrap_or_default();
    let has = |text: &[u8]| crate::bytes::find(code, text).is_some();
    if code.iter().all(|byte| *byte == 0) {
        BootCode::None
    } else if has(b"GRUB") {
        BootCode::Grub
    } else if has(b"SYSLINUX") || has(b"isolinux") || has(b"Missing operating system.\r\n") {
        BootCode::Syslinux
    } else if has(b"Invalid partition table") {
        BootCode::Windows
    } else {
        BootCode::Other
    }
}

/// Returns the part of the disk that a partition is.
pub(crate) fn window(disk: &Window, partition: &Partition) -> Result<Window> {
    let Partition { start, length, number, .. } = *partition;
    if start >= disk.length() {
        return Err(crate::bytes::corrupt(format!("partition {number} is behind the end of the disk")));
    }
    Ok(disk.of(&[crate::window::Segment { start, length }]))
}
