//! The whole look: the table, what fills its parts, what is installed there, and one answer.

use std::rc::Rc;

use imprint_plugin_sdk::{
    error::{Error, Result},
    host::{Blob, InspectorHost},
    inspector::{Bounded, Family, Findings, Firmware, Medium, Presence, Scheme, System, Unread},
};

use crate::{
    files,
    look::{Look, look, presence},
    table::{self, BIOS_BOOT, BootCode, EFI_SYSTEM, Table},
    volume::{self, Content, Volume},
    window::Window,
};

/// The bytes and the reads for the partition table.
const FOR_TABLE: (u64, u64) = (1 << 20, 1000);
/// Those for recognising what fills a part of the disk, with its map of free space.
const FOR_VOLUME: (u64, u64) = (12 << 20, 80_000);
/// Those for the files of one file system.
const FOR_FILES: (u64, u64) = (48 << 20, 60_000);
/// The file systems whose files are looked at: with 256 partitions, not all of them.
const MAX_LOOKED: usize = 16;
/// The most parts of a disk that are recognised.
const MAX_VOLUMES: usize = 256;
/// The types of partitions of BSDs in an MBR.
const BSD: [&str; 3] = ["0xa5", "0xa6", "0xa9"];
/// The kinds whose boot sector has the mark of a partition table.
const BOOT_SECTORS: [&str; 4] = ["vfat", "ntfs", "exfat", "bitlocker"];
/// The bytes at the start of the disk that the table is in.
const HEAD: usize = 512;

/// A look in progress.
struct Inspection<'a> {
    host: &'a dyn InspectorHost,
    skip: &'a [u64],
    disk: Window,
    findings: Findings,
    /// What was found in each file system.
    looks: Vec<(u64, Look)>,
    /// Whether something that may have a system was not read.
    incomplete: bool,
    bios: bool,
    uefi: bool,
    bsd: bool,
    used_until: u64,
}

/// Looks inside of a disk.
pub(crate) fn inspect(host: &dyn InspectorHost, blob: Box<dyn Blob>, skip: &[u64]) -> Result<Findings> {
    let disk = Window::whole(Rc::new(Bounded::new(blob)));
    let mut look = Inspection {
        host,
        skip,
        disk: disk.clone(),
        findings: Findings::default(),
        looks: Vec::new(),
        incomplete: false,
        bios: false,
        uefi: false,
        bsd: false,
        used_until: 0,
    };
    disk.allow(FOR_TABLE.0, FOR_TABLE.1);
    let head = disk.head(HEAD)?;
    look.whole(&head);
    Ok(look.finish())
}

impl Inspection<'_> {
    /// Looks at the disk: a file system without a table, or a table and its parts. The image of an
    /// optical disc may be both. Of other file systems only those count beside a table whose boot
    /// sector looks like one: what is left of an earlier use of the disk does not.
    fn whole(&mut self, head: &[u8]) {
        let disk = self.disk.clone();
        let volume = self.recognise(&disk, None);
        disk.allow(FOR_TABLE.0, FOR_TABLE.1);
        let table = table::read(&disk, head);
        let divided = table.scheme != Scheme::None;
        let is_disc = volume.as_ref().is_some_and(|volume| matches!(volume.content, Content::Disc { .. }));
        self.findings.medium = match (is_disc, divided) {
            (true, true) => Medium::Hybrid,
            (true, false) => Medium::Optical,
            (false, _) => Medium::Disk,
        };
        let fills_disk = |volume: &Volume| !divided || BOOT_SECTORS.contains(&volume.found.kind.as_str());
        match volume {
            Some(volume) if !is_disc && fills_disk(&volume) => self.volume(volume, &disk, None),
            Some(volume) if is_disc => {
                self.volume(volume, &disk, None);
                self.table(table);
            }
            Some(_) | None => self.table(table),
        }
    }

    /// Takes a partition table into the findings, and looks at its parts.
    fn table(&mut self, mut table: Table) {
        if let Some(error) = table.unread.take() {
            self.incomplete = true;
            self.unread(0, "partition-table", error);
        }
        let starts =
            table.partitions.iter().any(|partition| partition.bootable || partition.kind == BIOS_BOOT);
        match table.boot_code {
            BootCode::None => {}
            BootCode::Grub => {
                self.bios = true;
                self.findings.boot_loaders.push("grub".to_owned());
            }
            BootCode::Syslinux | BootCode::Windows | BootCode::Other => self.bios |= starts,
        }
        self.parts(&table);
        self.findings.scheme = table.scheme;
        self.findings.partitions = table.partitions;
    }

    /// Looks at each partition.
    fn parts(&mut self, table: &Table) {
        for partition in &table.partitions {
            let is_extended = matches!(partition.kind.as_str(), "0x05" | "0x0f" | "0x85");
            let is_disc = self.findings.file_systems.iter().any(|found| found.offset == partition.start);
            self.bsd |= BSD.contains(&partition.kind.as_str());
            if is_extended || is_disc || partition.kind == "0xee" {
                continue;
            }
            let window = match table::window(&self.disk, partition) {
                Ok(window) => window,
                Err(error) => {
                    self.unread(partition.start, "partition", error);
                    continue;
                }
            };
            let is_efi = EFI_SYSTEM.contains(&partition.kind.as_str());
            match self.recognise(&window, Some(partition.number)) {
                Some(volume) => self.volume(volume, &window, Some(partition.number)),
                // What is not known may be in use up to its end. GRUB's own partition is no system.
                None => self.uses(window.end_on_disk(window.length())),
            }
            let read = self.looks.iter().any(|(offset, _)| *offset == partition.start);
            self.uefi |= is_efi && !read;
        }
    }

    /// Recognises what fills a part of the disk.
    fn recognise(&mut self, window: &Window, partition: Option<u32>) -> Option<Volume> {
        if self.findings.file_systems.len() >= MAX_VOLUMES {
            return None;
        }
        window.allow(FOR_VOLUME.0, FOR_VOLUME.1);
        match volume::recognise(window) {
            Ok(volume) => volume.map(|mut volume| {
                volume.found.partition = partition;
                volume
            }),
            Err(error) => {
                self.incomplete = true;
                self.unread(window.offset(), "partition", error);
                None
            }
        }
    }

    /// Takes what was recognised into the findings, and looks at what is in it.
    fn volume(&mut self, volume: Volume, window: &Window, partition: Option<u32>) {
        let Volume { mut found, content, failed } = volume;
        if let Some(error) = failed {
            self.unread(found.offset, &found.kind, error);
        }
        let mut volumes = Vec::new();
        match content {
            Content::None => {}
            Content::Disc { bios, uefi } => {
                self.bios |= bios;
                self.uefi |= uefi;
            }
            Content::Bsd => {
                self.bsd = true;
                self.incomplete = true;
            }
            Content::Closed(error) => {
                self.incomplete = true;
                self.unread(found.offset, &found.kind, error);
            }
            Content::Volumes(pieces) => volumes = pieces,
            Content::Files(kind) => self.files(kind, window, &mut found),
        }
        let end = found.used_until.unwrap_or_else(|| window.length()).min(window.length());
        self.uses(window.end_on_disk(end));
        self.findings.file_systems.push(found);
        for pieces in volumes {
            let window = window.of(&pieces);
            if let Some(volume) = self.recognise(&window, partition) {
                // Volumes in volumes are not looked into.
                if !matches!(volume.content, Content::Volumes(_)) {
                    self.volume(volume, &window, partition);
                }
            }
        }
    }

    /// Looks at the files of a file system.
    fn files(
        &mut self,
        kind: volume::Kind,
        window: &Window,
        found: &mut imprint_plugin_sdk::inspector::FileSystem,
    ) {
        if self.skip.contains(&found.offset) || self.looks.len() >= MAX_LOOKED {
            self.incomplete = true;
            return;
        }
        // A trap from here on costs this file system, and not the whole look.
        self.host.progress(found.offset, Some(self.disk.length()), &found.kind);
        window.allow(FOR_FILES.0, FOR_FILES.1);
        let mut opened = match files::open(kind, window) {
            Ok(opened) => opened,
            Err(error) => {
                self.incomplete = true;
                self.unread(found.offset, &found.kind, error);
                return;
            }
        };
        match opened.usage() {
            Ok(usage) => {
                found.label = found.label.take().or(usage.label);
                found.used = found.used.or(usage.used);
                found.used_until = found.used_until.or(usage.used_until);
            }
            Err(error) => self.unread(found.offset, &found.kind, error),
        }
        let mut seen = look(opened.as_mut());
        if let Some(error) = seen.failed.take() {
            self.incomplete = true;
            self.unread(found.offset, &found.kind, error);
        }
        self.looks.push((found.offset, seen));
    }

    fn uses(&mut self, until: u64) {
        self.used_until = self.used_until.max(until);
    }

    fn unread(&mut self, offset: u64, what: &str, error: Error) {
        let Error { code, mut message, .. } = error;
        message.truncate(message.floor_char_boundary(900));
        if self.findings.unread.len() < MAX_VOLUMES {
            self.findings.unread.push(Unread { offset, what: what.to_owned(), code, reason: message });
        }
    }

    /// Makes one answer of what the file systems have.
    fn finish(mut self) -> Findings {
        let looks: Vec<&Look> = self.looks.iter().map(|(_, look)| look).collect();
        let any = |has: fn(&Look) -> bool| looks.iter().any(|look| has(look));
        // The first one that names itself, else the first one.
        let named = looks.iter().find_map(|look| look.system.as_ref().filter(|system| system.name.is_some()));
        let system = named.or_else(|| looks.iter().find_map(|look| look.system.as_ref()));
        let mut system = system.cloned().unwrap_or_default();
        system.architecture =
            looks.iter().filter_map(|look| look.system.as_ref()?.architecture.clone()).next();
        if system.family == Family::Unknown && self.bsd {
            system = System { family: Family::Bsd, ..System::default() };
        }
        let found_system = system.family != Family::Unknown;
        let complete = found_system && !self.incomplete;
        let is_windows = system.family == Family::Windows;
        let findings = &mut self.findings;
        findings.cloud_init = presence(any(|look| look.cloud_init), complete);
        findings.guest_agent = presence(any(|look| look.guest_agent), complete);
        findings.ssh_server = presence(any(|look| look.ssh_server), complete);
        findings.domain_controller = match (is_windows, found_system) {
            // No other system is one of Windows' domain controllers.
            (false, true) => Presence::Absent,
            (false, false) | (true, _) => presence(any(|look| look.domain_controller), complete),
        };
        for loader in looks.iter().flat_map(|look| look.boot_loaders.iter().copied()) {
            if !findings.boot_loaders.iter().any(|known| known == loader) {
                findings.boot_loaders.push(loader.to_owned());
            }
        }
        let uefi = self.uefi || any(|look| look.uefi);
        findings.firmware = match (self.bios, uefi) {
            (true, true) => Firmware::Both,
            (true, false) => Firmware::Bios,
            (false, true) => Firmware::Uefi,
            (false, false) => Firmware::Unknown,
        };
        findings.used_until = (self.used_until > 0).then_some(self.used_until);
        findings.system = system;
        findings.file_systems.sort_by_key(|found| found.offset);
        self.findings
    }
}
