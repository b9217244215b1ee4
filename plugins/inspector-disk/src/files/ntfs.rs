//! The files of NTFS, by the crate `ntfs`, and what its own files say: the label, and the map of
//! clusters in use.

use std::io::SeekFrom;

use imprint_plugin_sdk::error::{Error, Result};
use ntfs::{
    NtfsError, NtfsFile, NtfsReadSeek, attribute_value::NtfsAttributeValue, indexes::NtfsFileNameIndex,
};

use super::{Files, ReadAt};
use crate::{
    bytes::{clean, corrupt, to_u64, to_usize},
    window::{Cursor, Window, of_stream},
};

/// The largest map of clusters that is counted: that of 512 GiB in clusters of 4 KiB.
const MAX_BITMAP: u64 = 16 << 20;
/// The bytes of the map that are read at once.
const PIECE: usize = 64 << 10;
/// The number of the file that has the map of clusters.
const BITMAP: u64 = 6;
/// The deepest path that is followed.
const MAX_DEPTH: usize = 16;

/// What a file system says of itself in files of its own.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) label: Option<String>,
    pub(crate) used: Option<u64>,
    pub(crate) used_until: Option<u64>,
}

/// The files of NTFS.
pub(super) struct Ntfs {
    ntfs: ntfs::Ntfs,
    disk: Cursor,
}

/// Returns the error of the disk where it is the cause.
fn failure(error: NtfsError) -> Error {
    match error {
        NtfsError::Io(error) => of_stream(&error),
        other => corrupt(other.to_string()),
    }
}

impl Ntfs {
    pub(super) fn open(window: &Window) -> Result<Self> {
        let mut disk = window.cursor();
        let mut ntfs = ntfs::Ntfs::new(&mut disk).map_err(failure)?;
        ntfs.read_upcase_table(&mut disk).map_err(failure)?;
        Ok(Self { ntfs, disk })
    }

    /// Runs `look` on the file of a path, and returns `None` where there is none.
    fn with<T>(
        &mut self,
        path: &str,
        look: impl FnOnce(&NtfsFile<'_>, &mut Cursor) -> Result<T>,
    ) -> Result<Option<T>> {
        let Self { ntfs, disk } = self;
        let mut file = ntfs.root_directory(disk).map_err(failure)?;
        for name in path.split('/').filter(|name| !name.is_empty()).take(MAX_DEPTH) {
            if !file.is_directory() {
                return Ok(None);
            }
            let index = file.directory_index(disk).map_err(failure)?;
            let mut finder = index.finder();
            let entry = match NtfsFileNameIndex::find(&mut finder, ntfs, disk, name) {
                Some(entry) => entry.map_err(failure)?,
                None => return Ok(None),
            };
            let next = entry.to_file(ntfs, disk).map_err(failure)?;
            file = next;
        }
        look(&file, disk).map(Some)
    }
}

/// Runs `look` on the content of a file; returns `None` for a folder.
fn content<T>(
    file: &NtfsFile<'_>,
    disk: &mut Cursor,
    look: impl FnOnce(&mut Content<'_, '_, '_>) -> Result<T>,
) -> Result<Option<T>> {
    let Some(item) = file.data(disk, "") else { return Ok(None) };
    let item = item.map_err(failure)?;
    let attribute = item.to_attribute().map_err(failure)?;
    let value = attribute.value(disk).map_err(failure)?;
    look(&mut Content { value, disk }).map(Some)
}

/// The content of a file.
struct Content<'n, 'f, 'd> {
    value: NtfsAttributeValue<'n, 'f>,
    disk: &'d mut Cursor,
}

impl ReadAt for Content<'_, '_, '_> {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(to_u64(buf.len()));
        if end.is_none_or(|end| end > self.value.len()) {
            return Err(corrupt(format!("{} bytes at {offset} are behind the end of a file", buf.len())));
        }
        self.value.seek(self.disk, SeekFrom::Start(offset)).map_err(failure)?;
        self.value.read_exact(self.disk, buf).map_err(failure)
    }
}

impl Files for Ntfs {
    fn exists(&mut self, path: &str) -> Result<bool> {
        Ok(self.with(path, |_file, _disk| Ok(()))?.is_some())
    }

    fn head(&mut self, path: &str, max: usize) -> Result<Option<Vec<u8>>> {
        let read = |content: &mut Content<'_, '_, '_>| {
            let mut bytes = vec![0; max.min(to_usize(content.value.len()))];
            content.read_at(0, &mut bytes)?;
            Ok(bytes)
        };
        Ok(self.with(path, |file, disk| content(file, disk, read))?.flatten())
    }

    fn open(&mut self, path: &str, look: &mut dyn FnMut(&mut dyn ReadAt) -> Result<()>) -> Result<bool> {
        let looked = self.with(path, |file, disk| content(file, disk, |content| look(content)))?;
        Ok(looked.flatten().is_some())
    }

    fn usage(&mut self) -> Result<Usage> {
        let Self { ntfs, disk } = self;
        let label = match ntfs.volume_name(disk) {
            Some(name) => clean(&name.map_err(failure)?.name().to_string_lossy()),
            None => None,
        };
        let cluster = u64::from(ntfs.cluster_size());
        let clusters = ntfs.size() / cluster.max(1);
        let mut usage = Usage { label, ..Usage::default() };
        if clusters.div_ceil(8) > MAX_BITMAP {
            return Ok(usage);
        }
        let file = ntfs.file(disk, BITMAP).map_err(failure)?;
        let counted = content(&file, disk, |content| count(content, clusters))?;
        if let Some((used, last)) = counted {
            usage.used = Some(used.saturating_mul(cluster));
            usage.used_until = last.map(|last| (last + 1).saturating_mul(cluster));
        }
        Ok(usage)
    }
}

/// Returns the bits of a map that are set, and the last of them.
fn count(content: &mut Content<'_, '_, '_>, clusters: u64) -> Result<(u64, Option<u64>)> {
    let bytes = clusters.div_ceil(8).min(content.value.len());
    let (mut used, mut last) = (0_u64, None);
    let mut at = 0;
    let mut piece = vec![0; PIECE];
    while at < bytes {
        let length = PIECE.min(to_usize(bytes - at));
        let Some(now) = piece.get_mut(..length) else { break };
        content.read_at(at, now)?;
        for (index, byte) in now.iter().enumerate().filter(|(_, byte)| **byte != 0) {
            let first = (at + to_u64(index)) * 8;
            // The bits behind the last cluster are set.
            let valid = clusters.saturating_sub(first).min(8);
            let bits = (0..valid).filter(|bit| byte >> bit & 1 == 1);
            for bit in bits {
                used += 1;
                last = Some(first + bit);
            }
        }
        at += to_u64(length);
    }
    Ok((used, last))
}
