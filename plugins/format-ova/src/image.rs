//! An open OVA: where its disk is.

use imprint_plugin_sdk::{
    format::{Info, MapBuilder, Page},
    host::Blob,
    types::{ByteRange, Props, props},
};

use crate::{
    error::OvaError,
    manifest::{self, Digest},
    ovf::{self, Ovf},
    tar::{self, Member, clip},
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
    size: u64,
}

impl Image {
    /// Finds the disk: the only one, or the one that the option `disk` names (by its file or by its
    /// id).
    pub(crate) fn open(blob: &dyn Blob, options: &Props) -> Result<Self, OvaError> {
        let members = tar::members(blob)?;
        let description = only(&members, ".ovf")?
            .ok_or_else(|| OvaError::Header("the archive has no description (.ovf)".to_owned()))?;
        let ovf = Ovf::parse(&bounded(blob, description, MAX_OVF)?)?;
        for file in &ovf.files {
            if !members.iter().any(|member| member.name == file.href) {
                return Err(OvaError::ExternalReference(format!(
                    "the description names the file {:?}, which is not in the archive",
                    clip(&file.href)
                )));
            }
        }
        let described = chosen(&ovf, options.get("disk").map(String::as_str))?;
        let file = ovf.file(&described.file)?;
        if file.compressed || file.chunked {
            return Err(OvaError::Feature(format!(
                "the disk {:?} is {}; put it into the archive as one plain file",
                clip(&file.href),
                if file.compressed { "compressed as a whole" } else { "split into chunks" }
            )));
        }
        if described.has_parent {
            return Err(OvaError::Feature(format!(
                "the disk {:?} needs another one below it; export the appliance without snapshots",
                clip(&described.id)
            )));
        }
        let disk = members
            .iter()
            .find(|member| member.name == file.href)
            .cloned()
            .ok_or_else(|| OvaError::Header("the disk's file is not in the archive".to_owned()))?;
        let contains = ovf::contains(&disk.name, described.format.as_deref())?;
        let start = ByteRange { offset: disk.data.offset, length: disk.data.length.min(2) };
        if tar::read(blob, start)? == GZIP {
            return Err(OvaError::Feature(format!(
                "the disk {:?} is compressed with gzip; unpack it and pack the archive again",
                disk.name
            )));
        }
        let digest = match only(&members, ".mf")? {
            Some(manifest) => manifest::digest_of(&bounded(blob, manifest, MAX_MANIFEST)?, &disk.name)?,
            None => None,
        };
        Ok(Self { disk, contains, members: members.len(), disks: ovf.disks.len(), digest, size: blob.size() })
    }

    /// The file as a disk: the host opens what is in it.
    pub(crate) fn info(&self) -> Info {
        let mut facts = props([("contains", self.contains), ("member", &self.disk.name)]);
        facts.insert("members".to_owned(), self.members.to_string());
        facts.insert("disks".to_owned(), self.disks.to_string());
        if let Some(Digest { algorithm, value }) = &self.digest {
            facts.insert(format!("manifest-{algorithm}"), value.clone());
        }
        Info {
            format: "ova".to_owned(),
            subformat: None,
            virtual_size: self.disk.data.length,
            unit: 1,
            facts,
        }
    }

    /// Everything but the disk.
    pub(crate) fn metadata_ranges(&self, start: u64, max: u32) -> Vec<ByteRange> {
        let end = self.disk.data.offset + self.disk.data.length;
        let ranges = [
            ByteRange { offset: 0, length: self.disk.data.offset },
            ByteRange { offset: end, length: self.size - end },
        ];
        let skip = usize::try_from(start).unwrap_or(usize::MAX);
        let most = usize::try_from(max).unwrap_or(usize::MAX);
        ranges.into_iter().skip(skip).take(most).collect()
    }

    /// One piece.
    pub(crate) fn extents(&self, start: u64, end: u64, max: u32) -> Result<Page, OvaError> {
        let end = end.min(self.disk.data.length);
        let mut map = MapBuilder::new(start.min(end), end, max)?;
        let at = map.cursor();
        let _full = map.data(end - at, 0, self.disk.data.offset + at)?;
        Ok(map.finish())
    }
}

/// The only member with this ending.
fn only<'a>(members: &'a [Member], ending: &str) -> Result<Option<&'a Member>, OvaError> {
    let mut found = members.iter().filter(|member| member.name.to_ascii_lowercase().ends_with(ending));
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => {
            Err(OvaError::Header(format!("the archive has several members that end with {ending}")))
        }
    }
}

fn bounded(blob: &dyn Blob, member: &Member, most: u64) -> Result<Vec<u8>, OvaError> {
    if member.data.length > most {
        return Err(OvaError::Limit(format!(
            "the member {:?} has {} bytes; at most {most} are read",
            member.name, member.data.length
        )));
    }
    tar::read(blob, member.data)
}

/// The disk that is meant.
fn chosen<'a>(ovf: &'a Ovf, wanted: Option<&str>) -> Result<&'a ovf::Disk, OvaError> {
    let named = |disk: &ovf::Disk| {
        ovf.files.iter().find(|file| file.id == disk.file).map_or("", |file| file.href.as_str()).to_owned()
    };
    let all = || ovf.disks.iter().map(|disk| clip(&named(disk))).collect::<Vec<_>>().join(", ");
    match (wanted, ovf.disks.as_slice()) {
        (_, []) => Err(OvaError::Feature("the appliance has no disk with data".to_owned())),
        (None, [only]) => Ok(only),
        (None, _) => Err(OvaError::Feature(format!(
            "the appliance has several disks ({}); choose one with the option disk=NAME",
            all()
        ))),
        (Some(wanted), disks) => {
            let mut found = disks.iter().filter(|disk| disk.id == wanted || named(disk) == wanted);
            match (found.next(), found.next()) {
                (Some(disk), None) => Ok(disk),
                (_, _) => Err(OvaError::Request(format!(
                    "the option disk={:?} names no disk of the appliance, or several; there are {}",
                    clip(wanted),
                    all()
                ))),
            }
        }
    }
}
