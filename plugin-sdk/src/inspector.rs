//! Inspectors: a look inside of a logical disk, by reading metadata.
//!
//! The disk may be forged in any way. Three habits keep an inspector within its limits:
//!
//! - Every read is bounded ([`Bounded`] counts them for one file system at a time), and nothing is
//!   allocated by a number that the disk says without a bound of the inspector's own.
//! - What cannot be read becomes an [`Unread`], and the look goes on with the next file system.
//! - Before the content of a file system is read, [`Task::progress`](crate::host::Task::progress)
//!   is called with its offset. A trap there costs that file system, and not the whole look.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use crate::{
    error::{Error, Result},
    host::{Blob, InspectorHost},
    types::Props,
};

/// An inspector of logical disks.
pub trait Inspector {
    /// Looks inside of `disk`. `skip` has the offsets of file systems whose content is not read,
    /// because an earlier instance trapped in it.
    ///
    /// # Errors
    ///
    /// Only what keeps it from looking at all: a disk that cannot be read.
    fn inspect(host: &dyn InspectorHost, disk: Box<dyn Blob>, skip: &[u64]) -> Result<Findings>;
}

/// How a disk is divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// There is no partition table.
    #[default]
    None,
    /// The table of a PC's boot sector.
    Mbr,
    /// The table of UEFI.
    Gpt,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// As the system counts, from 1.
    pub number: u32,
    /// The first byte.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// `0x83` in an MBR, a GUID in lower case in a GPT.
    pub kind: String,
    /// The name in the table.
    pub name: Option<String>,
    /// Whether the table marks it for booting.
    pub bootable: bool,
}

/// What fills a partition, a logical volume or the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSystem {
    /// The first byte on the disk.
    pub offset: u64,
    /// The number of the partition that it is in.
    pub partition: Option<u32>,
    /// Lower-kebab, as systems name it: `ext4`, `swap`, `luks`.
    pub kind: String,
    /// The label.
    pub label: Option<String>,
    /// The identifier.
    pub uuid: Option<String>,
    /// The size in bytes that it says.
    pub size: Option<u64>,
    /// The bytes in use that it says.
    pub used: Option<u64>,
    /// The end of the last byte in use, from its own start.
    pub used_until: Option<u64>,
    /// Whether its content is encrypted.
    pub encrypted: bool,
}

/// The family of an operating system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// Linux.
    Linux,
    /// Windows.
    Windows,
    /// A BSD.
    Bsd,
    /// Another one.
    Other,
    /// Nothing tells.
    #[default]
    Unknown,
}

/// An operating system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// The family.
    pub family: Family,
    /// The id in os-release.
    pub distribution: Option<String>,
    /// The version; of Windows the release.
    pub version: Option<String>,
    /// The name for people.
    pub name: Option<String>,
    /// The edition of Windows.
    pub edition: Option<String>,
    /// The build of Windows.
    pub build: Option<String>,
    /// `x86_64`, `aarch64`, ...
    pub architecture: Option<String>,
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// It is there.
    Present,
    /// All that could have it was read.
    Absent,
    /// Not all could be read.
    #[default]
    Unknown,
}

/// The firmware that a disk can be started by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Firmware {
    /// A BIOS only.
    Bios,
    /// UEFI only.
    Uefi,
    /// Either.
    Both,
    /// Nothing tells.
    #[default]
    Unknown,
}

/// What a disk is as a medium.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Medium {
    /// A disk.
    #[default]
    Disk,
    /// The image of an optical disc.
    Optical,
    /// The image of an optical disc that is a bootable disk as well.
    Hybrid,
}

/// A part of the disk that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Where it is.
    pub offset: u64,
    /// What it is.
    pub what: String,
    /// `inspect.corrupt`, `inspect.encrypted`, `inspect.unsupported`, `inspect.budget`, or that of
    /// the host's error.
    pub code: String,
    /// The reason.
    pub reason: String,
}

/// What is inside of a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What it is as a medium.
    pub medium: Medium,
    /// How it is divided.
    pub scheme: Scheme,
    /// The partitions, at most 256.
    pub partitions: Vec<Partition>,
    /// What fills them, at most 256.
    pub file_systems: Vec<FileSystem>,
    /// The operating system.
    pub system: System,
    /// cloud-init or cloudbase-init.
    pub cloud_init: Presence,
    /// The QEMU guest agent.
    pub guest_agent: Presence,
    /// An SSH server.
    pub ssh_server: Presence,
    /// Whether it is a domain controller.
    pub domain_controller: Presence,
    /// `grub`, `systemd-boot`, `syslinux`, `windows`, ...
    pub boot_loaders: Vec<String>,
    /// The firmware that it can be started by.
    pub firmware: Firmware,
    /// The end of the last byte in use on the disk.
    pub used_until: Option<u64>,
    /// What could not be read, at most 256.
    pub unread: Vec<Unread>,
    /// Open ended.
    pub facts: Props,
}

/// The bytes of a page of [`Bounded`].
const PAGE: u64 = 16 << 10;
/// The pages that [`Bounded`] keeps: 4 MiB.
const PAGES: usize = 256;

/// A disk with a bound on how much is read of it, and with the pages that were read last, so that
/// small reads of neighbouring tables cross the sandbox once.
///
/// [`Self::allow`] sets what the next part of the look may read; beyond it every read fails with
/// the code `inspect.budget`. That ends whatever follows a pointer in a circle.
pub struct Bounded {
    blob: Box<dyn Blob>,
    size: u64,
    /// The bytes and the calls that may still be used.
    left: Cell<(u64, u64)>,
    pages: RefCell<Pages>,
}

#[derive(Default)]
struct Pages {
    kept: BTreeMap<u64, (u64, Rc<Vec<u8>>)>,
    clock: u64,
}

impl Bounded {
    /// A disk of which nothing may be read yet.
    pub fn new(blob: Box<dyn Blob>) -> Self {
        Self { size: blob.size(), blob, left: Cell::new((0, 0)), pages: RefCell::default() }
    }

    /// Returns the size of the disk in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Sets how many bytes may be read from now on, and in how many calls of [`Self::read`].
    pub fn allow(&self, bytes: u64, calls: u64) {
        self.left.set((bytes, calls));
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    ///
    /// `inspect.budget` where more is read than is allowed, `inspect.corrupt` behind the end of the
    /// disk, and what the host answers.
    pub fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let length = u64::try_from(buf.len()).unwrap_or(u64::MAX);
        let end = offset.checked_add(length).filter(|end| *end <= self.size);
        let Some(end) = end else {
            let text = format!("{length} bytes at {offset} are behind the end of a disk of {}", self.size);
            return Err(Error::corrupt("inspect.corrupt", text));
        };
        let (bytes, calls) = self.left.get();
        let (Some(bytes), Some(calls)) = (bytes.checked_sub(length), calls.checked_sub(1)) else {
            let text = "its metadata is more than an inspection reads, or leads in a circle";
            return Err(Error::limit("inspect.budget", text));
        };
        self.left.set((bytes, calls));
        let mut at = offset;
        let mut rest = buf;
        while at < end {
            let page = self.page(at / PAGE)?;
            let from = usize::try_from(at % PAGE).unwrap_or(usize::MAX);
            let piece = page.get(from..).unwrap_or_default();
            let count = piece.len().min(rest.len());
            if count == 0 {
                return Err(Error::corrupt("blob.truncated", "the disk ends earlier than it says"));
            }
            let (filled, next) = rest.split_at_mut(count);
            filled.copy_from_slice(piece.get(..count).unwrap_or_default());
            rest = next;
            at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    fn page(&self, index: u64) -> Result<Rc<Vec<u8>>> {
        let mut pages = self.pages.borrow_mut();
        pages.clock += 1;
        let clock = pages.clock;
        if let Some((used, page)) = pages.kept.get_mut(&index) {
            *used = clock;
            return Ok(page.clone());
        }
        let page = Rc::new(self.blob.read_at(index * PAGE, u32::try_from(PAGE).unwrap_or(u32::MAX))?);
        if pages.kept.len() >= PAGES
            && let Some(oldest) =
                pages.kept.iter().min_by_key(|(_, (used, _))| *used).map(|(index, _)| *index)
        {
            pages.kept.remove(&oldest);
        }
        pages.kept.insert(index, (clock, page.clone()));
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::MemBlob;

    #[test]
    fn reads_are_bounded_in_bytes_and_in_calls() {
        let disk = Bounded::new(Box::new(MemBlob::new([7; 100]).with_size(1 << 40)));
        let mut buf = [0; 10];
        assert_eq!(disk.read(0, &mut buf).unwrap_err().code, "inspect.budget");
        disk.allow(25, 100);
        disk.read(95, &mut buf).unwrap();
        assert_eq!(buf, [7, 7, 7, 7, 7, 0, 0, 0, 0, 0]);
        disk.read((1 << 40) - 10, &mut buf).unwrap();
        assert_eq!(disk.read(0, &mut buf).unwrap_err().code, "inspect.budget");
        disk.allow(1000, 1);
        disk.read(0, &mut buf).unwrap();
        assert_eq!(disk.read(0, &mut buf).unwrap_err().code, "inspect.budget");
    }

    #[test]
    fn reads_cross_pages_and_end_with_the_disk() {
        let bytes: Vec<u8> = (0..40_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let disk = Bounded::new(Box::new(MemBlob::new(bytes.clone())));
        disk.allow(1 << 20, 100);
        let mut buf = vec![0; 30_000];
        disk.read(5000, &mut buf).unwrap();
        assert_eq!(buf, bytes[5000..35_000]);
        assert_eq!(disk.read(39_999, &mut [0; 2]).unwrap_err().code, "inspect.corrupt");
        assert_eq!(disk.read(u64::MAX, &mut [0; 2]).unwrap_err().code, "inspect.corrupt");
    }

    #[test]
    fn pages_are_read_once_and_few_are_kept() {
        let blob = Rc::new(MemBlob::new([]).with_size(1 << 30));
        let disk = Bounded::new(Box::new(blob.clone()));
        disk.allow(1 << 20, 10_000);
        for _ in 0..3 {
            disk.read(100, &mut [0; 8]).unwrap();
        }
        assert_eq!(blob.reads(), 1);
        for page in 0..400 {
            disk.read(page * PAGE, &mut [0; 8]).unwrap();
        }
        assert_eq!(disk.pages.borrow().kept.len(), PAGES);
    }
}
