//! Findings on their way out of the sandbox: bounded, without control characters, inside of the
//! disk.

use imprint_ports::{
    PortError,
    findings::{
        BootLoader, DiskFindings, DiskFirmware, FileSystemFinding, Medium, OsFamily, PartitionFinding,
        PartitionScheme, Presence, SystemFinding, UnreadFinding,
    },
};

use super::super::bounds::{bounded_list, bounded_text, props_from_plugin};
use crate::{bindings::inspector::exports::imprint::inspector::inspector as wit, codes::Code};

const MAX_PARTITIONS: usize = 256;
const MAX_FILE_SYSTEMS: usize = 256;
const MAX_BOOT_LOADERS: usize = 64;
const MAX_UNREAD: usize = 256;
const MAX_TEXT: usize = 256;
const MAX_REASON: usize = 1000;
/// The bytes of a record on its way through the sandbox, without its texts.
const RECORD_BYTES: usize = 96;

/// Returns about how many bytes findings took on their way through the sandbox.
pub(super) fn bytes_of(found: &wit::Findings) -> usize {
    let records = found.partitions.len() + found.file_systems.len() + found.unread.len();
    let reasons: usize = found.unread.iter().map(|unread| unread.reason.len()).sum();
    (records + found.facts.len() + 1) * RECORD_BYTES + reasons
}

/// Checks findings about a disk of `size` bytes.
pub(super) fn findings(
    found: wit::Findings,
    inspector: String,
    size: u64,
) -> Result<DiskFindings, PortError> {
    let partitions = bounded_list("the list of partitions", found.partitions, MAX_PARTITIONS)?;
    let file_systems = bounded_list("the list of file systems", found.file_systems, MAX_FILE_SYSTEMS)?;
    let unread = bounded_list("the list of what was not read", found.unread, MAX_UNREAD)?;
    let boot_loaders = bounded_list("the list of boot loaders", found.boot_loaders, MAX_BOOT_LOADERS)?;
    let file_systems: Vec<_> =
        file_systems.into_iter().map(|found| file_system(found, size)).collect::<Result<_, _>>()?;
    let mut loaders: Vec<BootLoader> = Vec::new();
    for name in boot_loaders {
        let loader = name.parse().unwrap_or(BootLoader::Other);
        if !loaders.contains(&loader) {
            loaders.push(loader);
        }
    }
    Ok(DiskFindings {
        inspector,
        size,
        medium: medium(found.medium),
        partition_scheme: scheme(found.scheme),
        partitions: partitions.into_iter().map(partition).collect::<Result<_, _>>()?,
        used_bytes: used_bytes(&file_systems),
        file_systems,
        system: system(found.system)?,
        cloud_init: presence(found.cloud_init),
        guest_agent: presence(found.guest_agent),
        ssh_server: presence(found.ssh_server),
        domain_controller: presence(found.domain_controller),
        boot_loaders: loaders,
        firmware: firmware(found.firmware),
        used_until: found.used_until.map(|end| end.min(size)),
        unread: unread.into_iter().map(not_read).collect::<Result<_, _>>()?,
        facts: props_from_plugin("the facts", found.facts)?
            .into_iter()
            .map(|(key, value)| (printable(&key), printable(&value)))
            .collect(),
    })
}

/// Returns what the file systems use together.
fn used_bytes(file_systems: &[FileSystemFinding]) -> Option<u64> {
    let used = file_systems.iter().filter_map(|found| found.used);
    used.fold(None, |sum: Option<u64>, used| Some(sum.unwrap_or(0).saturating_add(used)))
}

fn file_system(found: wit::FileSystem, disk: u64) -> Result<FileSystemFinding, PortError> {
    if found.offset > disk {
        let message =
            format!("a file system at {} is behind the end of a disk of {disk} bytes", found.offset);
        return Err(Code::BadFindings.error(message));
    }
    Ok(FileSystemFinding {
        offset: found.offset,
        partition: found.partition,
        kind: text("the kind of a file system", found.kind)?,
        label: optional("a label", found.label)?,
        uuid: optional("a UUID", found.uuid)?,
        size: found.size,
        // What it says is forged where it is more than the disk has.
        used: found.used.filter(|used| *used <= disk),
        used_until: found.used_until.filter(|end| *end <= disk),
        encrypted: found.encrypted,
    })
}

fn partition(found: wit::Partition) -> Result<PartitionFinding, PortError> {
    Ok(PartitionFinding {
        number: found.number,
        start: found.start,
        length: found.length,
        kind: text("the type of a partition", found.kind)?,
        name: optional("the name of a partition", found.name)?,
        bootable: found.bootable,
    })
}

fn system(found: wit::System) -> Result<SystemFinding, PortError> {
    Ok(SystemFinding {
        family: match found.family {
            wit::Family::Linux => OsFamily::Linux,
            wit::Family::Windows => OsFamily::Windows,
            wit::Family::Bsd => OsFamily::Bsd,
            wit::Family::Other => OsFamily::Other,
            wit::Family::Unknown => OsFamily::Unknown,
        },
        distribution: optional("a distribution", found.distribution)?,
        version: optional("a version", found.version)?,
        name: optional("the name of a system", found.name)?,
        edition: optional("an edition", found.edition)?,
        build: optional("a build", found.build)?,
        architecture: optional("an architecture", found.architecture)?,
    })
}

fn not_read(unread: wit::Unread) -> Result<UnreadFinding, PortError> {
    Ok(UnreadFinding {
        offset: unread.offset,
        what: text("what was not read", unread.what)?,
        code: text("a code", unread.code)?,
        reason: printable(&bounded_text("a reason", unread.reason, MAX_REASON)?),
    })
}

fn optional(what: &str, found: Option<String>) -> Result<Option<String>, PortError> {
    found.map(|found| text(what, found)).transpose()
}

fn text(what: &str, found: String) -> Result<String, PortError> {
    bounded_text(what, found, MAX_TEXT).map(|found| printable(&found))
}

/// Removes control characters, and those that change the direction of the text around them.
fn printable(text: &str) -> String {
    let direction =
        |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|c| !c.is_control() && !direction(*c)).collect()
}

fn presence(found: wit::Presence) -> Presence {
    match found {
        wit::Presence::Present => Presence::Present,
        wit::Presence::Absent => Presence::Absent,
        wit::Presence::Unknown => Presence::Unknown,
    }
}

fn medium(found: wit::Medium) -> Medium {
    match found {
        wit::Medium::Disk => Medium::Disk,
        wit::Medium::Optical => Medium::Optical,
        wit::Medium::Hybrid => Medium::Hybrid,
    }
}

fn scheme(found: wit::Scheme) -> PartitionScheme {
    match found {
        wit::Scheme::None => PartitionScheme::None,
        wit::Scheme::Mbr => PartitionScheme::Mbr,
        wit::Scheme::Gpt => PartitionScheme::Gpt,
    }
}

fn firmware(found: wit::Firmware) -> DiskFirmware {
    match found {
        wit::Firmware::Bios => DiskFirmware::Bios,
        wit::Firmware::Uefi => DiskFirmware::Uefi,
        wit::Firmware::Both => DiskFirmware::Both,
        wit::Firmware::Unknown => DiskFirmware::Unknown,
    }
}
