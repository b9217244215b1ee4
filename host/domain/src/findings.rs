//! What is inside of a disk, as an inspector read it from the disk's own metadata (X5).
//!
//! Everything here comes from the disk, which may be forged: it decides defaults and advice, and
//! whether a rule asks a question, but nothing that gives access. All sizes and offsets are bytes
//! of the disk that the guest sees. Findings are stored as JSON with the image.

mod notice;

use serde::{Deserialize, Serialize};

pub use self::notice::{ImageNotice, ImageNoticeCode};
use crate::{image::catalogue::OsType, string_enum::string_enum, windows::DeclaredOs};

string_enum! {
    /// How a disk is divided.
    pub enum PartitionScheme {
        /// There is no partition table: the disk is empty, or one file system.
        None = "none",
        /// The table of a PC's boot sector.
        Mbr = "mbr",
        /// The table of UEFI.
        Gpt = "gpt",
    }

    /// The family of an operating system.
    pub enum OsFamily {
        /// Linux.
        Linux = "linux",
        /// Windows.
        Windows = "windows",
        /// A BSD.
        Bsd = "bsd",
        /// Another one.
        Other = "other",
        /// Nothing on the disk tells.
        Unknown = "unknown",
    }

    /// Whether something is on a disk.
    pub enum Presence {
        /// It is there.
        Present = "present",
        /// All that could have it was read, and it is not there.
        Absent = "absent",
        /// Not all of the disk could be read, or no system was found.
        Unknown = "unknown",
    }

    /// A boot loader.
    pub enum BootLoader {
        /// GRUB.
        Grub = "grub",
        /// systemd-boot.
        SystemdBoot = "systemd-boot",
        /// SYSLINUX, EXTLINUX or ISOLINUX.
        Syslinux = "syslinux",
        /// The boot manager of Windows.
        Windows = "windows",
        /// Another one.
        Other = "other",
    }

    /// The firmware that a disk can be started by.
    pub enum DiskFirmware {
        /// A BIOS only.
        Bios = "bios",
        /// UEFI only.
        Uefi = "uefi",
        /// Either.
        Both = "both",
        /// Nothing on the disk tells.
        Unknown = "unknown",
    }

    /// What a disk is as a medium.
    pub enum Medium {
        /// A disk.
        Disk = "disk",
        /// The image of a CD or DVD (ISO 9660, UDF).
        Optical = "optical",
        /// The image of a CD or DVD that a machine also starts from as a disk.
        Hybrid = "hybrid",
    }
}

/// What an inspector found inside of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DiskFindings {
    /// The plugin that looked, as `ID VERSION`.
    pub inspector: String,
    /// The size of the disk in bytes.
    pub size: u64,
    /// What the disk is as a medium.
    pub medium: Medium,
    /// How the disk is divided.
    pub partition_scheme: PartitionScheme,
    /// The partitions in the order of the table.
    pub partitions: Vec<PartitionFinding>,
    /// The file systems and what else fills partitions, in the order of their offsets.
    pub file_systems: Vec<FileSystemFinding>,
    /// The operating system.
    pub system: SystemFinding,
    /// Whether cloud-init is installed, or cloudbase-init on Windows.
    pub cloud_init: Presence,
    /// Whether the QEMU guest agent is installed.
    pub guest_agent: Presence,
    /// Whether an SSH server is installed.
    pub ssh_server: Presence,
    /// Whether the system is a domain controller of Active Directory.
    pub domain_controller: Presence,
    /// The boot loaders; empty where none was found.
    pub boot_loaders: Vec<BootLoader>,
    /// The firmware that the disk can be started by.
    pub firmware: DiskFirmware,
    /// The end of the last byte that is in use, as an offset; `None` where nothing tells.
    pub used_until: Option<u64>,
    /// The bytes that the file systems use together, as far as they tell; `None` where none does.
    pub used_bytes: Option<u64>,
    /// What could not be read, and why.
    pub unread: Vec<UnreadFinding>,
    /// Whatever else the inspector reports, by lower-kebab keys.
    #[serde(default)]
    pub facts: std::collections::BTreeMap<String, String>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PartitionFinding {
    /// Its number as the system counts, from 1.
    pub number: u32,
    /// Its first byte.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
    /// Its type: `0x83` in an MBR, a GUID in lower case in a GPT.
    pub kind: String,
    /// Its name, where the table has one.
    pub name: Option<String>,
    /// Whether the table marks it for booting.
    pub bootable: bool,
}

/// A file system, or what else fills a partition or a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FileSystemFinding {
    /// The offset of its first byte on the disk; of one in a logical volume, that of the volume's
    /// first byte.
    pub offset: u64,
    /// The number of the partition that it is in; `None` without a partition.
    pub partition: Option<u32>,
    /// Its kind: `ext4`, `xfs`, `btrfs`, `ntfs`, `vfat`, `iso9660`, `swap`, `luks`, `lvm2`, ...
    pub kind: String,
    /// Its label.
    pub label: Option<String>,
    /// Its identifier, spelled as systems spell it.
    pub uuid: Option<String>,
    /// Its size in bytes as it says itself.
    pub size: Option<u64>,
    /// The bytes in use as it says itself.
    pub used: Option<u64>,
    /// The end of its last byte in use, counted from its own start; `None` where it does not tell.
    pub used_until: Option<u64>,
    /// Whether its content is encrypted.
    pub encrypted: bool,
}

/// The operating system on a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SystemFinding {
    /// Its family.
    pub family: OsFamily,
    /// The id of the distribution: `debian`, `rhel`, ...
    pub distribution: Option<String>,
    /// The version: `13`, `9.6`, or the release of Windows such as `24H2`.
    pub version: Option<String>,
    /// The name as the system shows it: `Debian GNU/Linux 13 (trixie)`, `Windows Server 2022
    /// Datacenter`.
    pub name: Option<String>,
    /// The edition of Windows: `ServerDatacenter`.
    pub edition: Option<String>,
    /// The build of Windows: `20348.2113`.
    pub build: Option<String>,
    /// The architecture of its programs: `x86_64`, `aarch64`, ...
    pub architecture: Option<String>,
}

/// A part of a disk that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct UnreadFinding {
    /// The offset on the disk of what could not be read.
    pub offset: u64,
    /// What it is: a file system by its kind, `partition-table`, `registry`, ...
    pub what: String,
    /// The stable code of the reason, such as `inspect.corrupt`, `inspect.encrypted`,
    /// `inspect.unsupported`, `inspect.budget`, or the plugin runtime's.
    pub code: String,
    /// The reason as a sentence.
    pub reason: String,
}

impl Default for SystemFinding {
    /// Returns the finding that nothing tells.
    fn default() -> Self {
        Self {
            family: OsFamily::Unknown,
            distribution: None,
            version: None,
            name: None,
            edition: None,
            build: None,
            architecture: None,
        }
    }
}

impl DiskFindings {
    /// Returns the operating system for the rules about instances (S33), where one was found.
    pub fn declared_os(&self) -> Option<DeclaredOs> {
        match self.system.family {
            OsFamily::Linux => Some(DeclaredOs::Linux),
            OsFamily::Windows => Some(DeclaredOs::Windows),
            OsFamily::Bsd | OsFamily::Other => Some(DeclaredOs::Other),
            OsFamily::Unknown => None,
        }
    }

    /// Returns the operating system for the description of an image, where one was found.
    pub fn os_type(&self) -> Option<OsType> {
        match self.system.family {
            OsFamily::Linux => Some(OsType::Linux),
            OsFamily::Windows => Some(OsType::Windows),
            OsFamily::Bsd => Some(OsType::Bsd),
            OsFamily::Other => Some(OsType::Other),
            OsFamily::Unknown => None,
        }
    }

    /// Returns whether everything that the disk has could be read.
    pub fn is_complete(&self) -> bool {
        self.unread.is_empty()
    }
}

impl Presence {
    /// Returns the answer of a rule's question, where there is one.
    pub fn answer(self) -> Option<bool> {
        match self {
            Self::Present => Some(true),
            Self::Absent => Some(false),
            Self::Unknown => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn findings(family: OsFamily) -> DiskFindings {
        DiskFindings {
            inspector: "inspector-disk 0.1.0".to_owned(),
            size: 1 << 30,
            medium: Medium::Disk,
            partition_scheme: PartitionScheme::None,
            partitions: Vec::new(),
            file_systems: Vec::new(),
            system: SystemFinding { family, ..SystemFinding::default() },
            cloud_init: Presence::Absent,
            guest_agent: Presence::Unknown,
            ssh_server: Presence::Present,
            domain_controller: Presence::Absent,
            boot_loaders: vec![BootLoader::SystemdBoot],
            firmware: DiskFirmware::Uefi,
            used_until: None,
            used_bytes: Some(4096),
            unread: Vec::new(),
            facts: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn findings_are_the_same_after_they_were_stored() {
        let found = findings(OsFamily::Linux);
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["boot_loaders"], serde_json::json!(["systemd-boot"]));
        assert_eq!(json["system"]["family"], "linux");
        assert_eq!(serde_json::from_value::<DiskFindings>(json).unwrap(), found);
    }

    #[test]
    fn an_unknown_system_answers_no_question() {
        assert_eq!(findings(OsFamily::Unknown).declared_os(), None);
        assert_eq!(findings(OsFamily::Bsd).declared_os(), Some(DeclaredOs::Other));
        assert_eq!(findings(OsFamily::Windows).os_type(), Some(OsType::Windows));
        let answers = Presence::ALL.iter().map(|presence| presence.answer());
        assert_eq!(answers.collect::<Vec<_>>(), [Some(true), Some(false), None]);
    }
}
