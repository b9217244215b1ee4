//! An open OVA: where its disk is.

use imprint_plugin_sdk::{
    error::{Error, Result},
    format::{
        self, Finding, Findings, FormatError, Info, MapBuilder, Page, Severity,
        wire::{to_u64, to_usize},
    },
    host::Blob,
    types::{ByteRange, Props, props},
};

use crate::{
    manifest::{self, Digest},
    member::Member,
    name::{self, clip},
    ovf::{self, Ovf},
    tar::{self, Archive},
};

/// Longest description, in bytes.
const MAX_OVF: u64 = 4 << 20;
/// Longest manifest, in bytes.
const MAX_MANIFEST: u64 = 1 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// An open OVA with one disk chosen.
pub struct Image {
    disk: Member,
    contains: &'static str,
    members: usize,
    disks: usize,
    digest: Option<Digest>,
    remarks: Vec<String>,
    size: u64,
}

impl Image {
    /// Finds the disk: the only one, or the one that the option `disk` names (by its file or by its
    /// id). With `ignore-manifest` = `true` the manifest is not read.
    pub(crate) fn open(blob: &dyn Blob, options: &Props) -> Result<Self, FormatError> {
        let Archive { members, mut remarks } = Archive::read(blob)?;
        let description = only(&members, ".ovf")?.ok_or_else(|| {
            FormatError::Header("the archive has no description (.ovf): it is no appliance".to_owned())
        })?;
        let ovf = Ovf::parse(&bounded(blob, description, MAX_OVF)?)?;
        let described = chosen(&ovf, options.get("disk").map(String::as_str))?;
        let file = ovf.file(&described.file)?;
        readable(file, described)?;
        let disk = name::find(&members, description, &file.href)?.cloned().ok_or_else(|| {
            FormatError::ExternalReference(format!(
                "the description says that the disk is in the file {:?}, which is not in the archive; pack all files that the .ovf names into the .ova",
                clip(&file.href)
            ))
        })?;
        for other in ovf.files.iter().filter(|other| other.href != file.href) {
            if !matches!(name::find(&members, description, &other.href), Ok(Some(_))) {
                remarks.push(format!("the file {:?} is not in the archive", clip(&other.href)));
            }
        }
        let contains = described.contains(&disk.name)?;
        let start = ByteRange { offset: disk.data.offset, length: disk.data.length.min(2) };
        if tar::read(blob, start)? == GZIP {
            return Err(FormatError::Feature(format!(
                "the disk {:?} is compressed with gzip; unpack it and pack the archive again",
                disk.name
            )));
        }
        let is_ignored = options.get("ignore-manifest").is_some_and(|value| value == "true");
        let manifest = if is_ignored { None } else { manifest_of(&members, description)? };
        let digest = match manifest {
            Some(manifest) => {
                let text = bounded(blob, manifest, MAX_MANIFEST)?;
                let is_disk = |name: &str| matches!(name::find(&members, description, name), Ok(Some(member)) if *member == disk);
                manifest::digest_of(&text, is_disk, &mut remarks)?
            }
            None => None,
        };
        let (members, disks) = (members.len(), ovf.disks.len());
        Ok(Self { disk, contains, members, disks, digest, remarks, size: blob.size() })
    }
}

/// Refuses a disk that is not there as one plain image.
fn readable(file: &ovf::File, disk: &ovf::Disk) -> Result<(), FormatError> {
    if file.compressed || file.chunked {
        return Err(FormatError::Feature(format!(
            "the disk {:?} is {}; put it into the archive as one plain file",
            clip(&file.href),
            if file.compressed { "compressed as a whole" } else { "split into chunks" }
        )));
    }
    if disk.has_parent {
        return Err(FormatError::Feature(format!(
            "the disk {:?} needs another one below it; export the appliance without snapshots",
            clip(&disk.id)
        )));
    }
    Ok(())
}

/// The manifest: the only one, or the one that is called like the description.
fn manifest_of<'a>(members: &'a [Member], description: &Member) -> Result<Option<&'a Member>, FormatError> {
    let stem = |name: &str| name.rsplit_once('.').map_or("", |(stem, _)| stem).to_ascii_lowercase();
    let wanted = format!("{}.mf", stem(&description.name));
    let named = members.iter().find(|member| member.name.to_ascii_lowercase() == wanted);
    if named.is_some() { Ok(named) } else { only(members, ".mf") }
}

impl format::Image for Image {
    /// The file as a disk: the host opens what is in it.
    fn info(&mut self) -> Result<Info> {
        let mut facts = props([("contains", self.contains), ("member", &self.disk.name)]);
        facts.insert("members".to_owned(), self.members.to_string());
        facts.insert("disks".to_owned(), self.disks.to_string());
        if let Some(Digest { algorithm, value }) = &self.digest {
            facts.insert(format!("manifest-{algorithm}"), value.clone());
        }
        let virtual_size = self.disk.data.length;
        Ok(Info { format: "ova".to_owned(), subformat: None, virtual_size, unit: 1, facts })
    }

    /// Everything but the disk.
    fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>> {
        let end = self.disk.data.offset + self.disk.data.length;
        let ranges = [
            ByteRange { offset: 0, length: self.disk.data.offset },
            ByteRange { offset: end, length: self.size - end },
        ];
        Ok(ranges.into_iter().skip(to_usize(start)?).take(to_usize(max.into())?).collect())
    }

    /// What is odd about the archive, its description and its manifest.
    fn check(&mut self, start: u64, max: u32) -> Result<Findings> {
        let skip = to_usize(start)?.min(self.remarks.len());
        let end = self.remarks.len().min(skip.saturating_add(to_usize(max.max(1).into())?));
        let note = |message: &String| Finding {
            severity: Severity::Note,
            code: "ova.odd".to_owned(),
            message: message.clone(),
            offset: None,
        };
        let items = self.remarks[skip..end].iter().map(note).collect();
        Ok(Findings { items, resume: to_u64(end), done: end == self.remarks.len() })
    }

    /// One piece.
    fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<Page> {
        let end = end.min(self.disk.data.length);
        let mut map = MapBuilder::new(start.min(end), end, max)?;
        let at = map.cursor();
        let _full = map.data(end - at, 0, self.disk.data.offset + at)?;
        Ok(map.finish())
    }
}

/// The only member with this ending.
fn only<'a>(members: &'a [Member], ending: &str) -> Result<Option<&'a Member>, FormatError> {
    let mut found = members.iter().filter(|member| member.name.to_ascii_lowercase().ends_with(ending));
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => {
            Err(FormatError::Header(format!("the archive has several members that end with {ending}")))
        }
    }
}

fn bounded(blob: &dyn Blob, member: &Member, most: u64) -> Result<Vec<u8>, FormatError> {
    if member.data.length > most {
        return Err(FormatError::TableSize(format!(
            "the member {:?} has {} bytes; at most {most} are read",
            member.name, member.data.length
        )));
    }
    tar::read(blob, member.data)
}

/// The disk that is meant.
fn chosen<'a>(ovf: &'a Ovf, wanted: Option<&str>) -> Result<&'a ovf::Disk, FormatError> {
    let named = |disk: &ovf::Disk| {
        ovf.files.iter().find(|file| file.id == disk.file).map_or("", |file| file.href.as_str()).to_owned()
    };
    let all = || ovf.disks.iter().map(|disk| clip(&named(disk))).collect::<Vec<_>>().join(", ");
    match (wanted, ovf.disks.as_slice()) {
        (_, []) => Err(FormatError::Feature("the appliance has no disk with data".to_owned())),
        (None, [only]) => Ok(only),
        (None, _) => Err(FormatError::Feature(format!(
            "the appliance has several disks ({}); choose one by its name (imprint disk: --disk NAME)",
            all()
        ))),
        (Some(wanted), disks) => {
            let mut found = disks.iter().filter(|disk| disk.id == wanted || named(disk) == wanted);
            match (found.next(), found.next()) {
                (Some(disk), None) => Ok(disk),
                (_, _) => {
                    let text = format!(
                        "{:?} names no disk of the appliance, or several (imprint disk: --disk NAME); there are {}",
                        clip(wanted),
                        all()
                    );
                    Err(Error::invalid_input("invalid.option", text).into())
                }
            }
        }
    }
}
