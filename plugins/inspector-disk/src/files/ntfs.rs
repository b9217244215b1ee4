//! The files of NTFS: records, their attributes, folders as trees of names, and what the file
//! system says of itself in files of its own (the label, the map of clusters in use). The log is
//! not replayed.

mod content;
mod folder;
mod record;
mod stream;

use imprint_plugin_sdk::error::Result;

use self::{
    record::{Record, fix},
    stream::Stream,
};
use super::{Files, ReadAt};
use crate::{
    bytes::{byte, corrupt, le16, le64, to_u64, to_usize, utf16},
    window::Window,
};

/// The largest map of clusters that is counted: that of 512 GiB in clusters of 4 KiB.
const MAX_BITMAP: u64 = 16 << 20;
/// The bytes of the map that are read at once.
const PIECE: usize = 64 << 10;
/// The deepest path that is followed.
const MAX_DEPTH: usize = 16;
/// The numbers of records that every volume has, and the types of attributes.
const VOLUME: u64 = 3;
const ROOT: u64 = 5;
const BITMAP: u64 = 6;
const NAME_OF_VOLUME: u32 = 0x60;
const DATA: u32 = 0x80;

/// What a file system says of itself in files of its own.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) label: Option<String>,
    pub(crate) used: Option<u64>,
    pub(crate) used_until: Option<u64>,
}

/// The files of NTFS.
pub(super) struct Ntfs {
    window: Window,
    /// The bytes of a cluster, the clusters, and the bytes of a record.
    cluster: u64,
    clusters: u64,
    record: usize,
    /// The table of records.
    table: Stream,
}

/// Returns a size that is stored as a number of clusters or, negative, as a power of two.
fn size(stored: u8, cluster: u64) -> Option<u64> {
    match i8::from_le_bytes([stored]) {
        power @ -31..=-1 => Some(1 << power.unsigned_abs()),
        count @ 1.. => Some(u64::from(count.unsigned_abs()) * cluster),
        _ => None,
    }
}

impl Ntfs {
    pub(super) fn open(window: &Window) -> Result<Self> {
        let boot = window.bytes(0, 512)?;
        let sector = u64::from(le16(&boot, 11));
        let per_cluster = match byte(&boot, 13) {
            count @ 0..=128 => u64::from(count),
            // The negative of a power of two.
            power => 1_u64.checked_shl(u32::from(power.wrapping_neg())).unwrap_or(0),
        };
        let cluster = sector.saturating_mul(per_cluster);
        let record = size(byte(&boot, 64), cluster).filter(|size| (512..=65536).contains(size));
        let (Some(record), 512..=0x20_0000) = (record, cluster) else {
            return Err(corrupt("the boot sector has clusters or records of an impossible size"));
        };
        let mut ntfs = Self {
            window: window.clone(),
            cluster,
            clusters: le64(&boot, 40).saturating_mul(sector) / cluster,
            record: to_usize(record),
            table: Stream::Inline(Vec::new()),
        };
        // The table is a file of its own, which the first record describes.
        let at = le64(&boot, 48).checked_mul(cluster);
        let at = at.ok_or_else(|| corrupt("the table of records is behind the end of any disk"))?;
        let mut first = window.bytes(at, ntfs.record)?;
        fix(&mut first, b"FILE")?;
        let first = Record(first);
        let data = first.attribute(DATA, "")?;
        ntfs.table = data.ok_or_else(|| corrupt("the table of records has no content"))?.stream()?;
        Ok(ntfs)
    }

    /// Reads a record of the table.
    fn record(&self, number: u64) -> Result<Record> {
        let mut bytes = vec![0; self.record];
        self.read(&self.table, number.saturating_mul(to_u64(self.record)), &mut bytes)?;
        fix(&mut bytes, b"FILE")?;
        Ok(Record(bytes))
    }

    /// Returns the record of a path; `None` where there is none.
    fn find(&self, path: &str) -> Result<Option<Record>> {
        let mut here = self.record(ROOT)?;
        for name in path.split('/').filter(|name| !name.is_empty()).take(MAX_DEPTH) {
            if !here.is_folder() {
                return Ok(None);
            }
            match self.lookup(&here, name)? {
                Some(number) => here = self.record(number)?,
                None => return Ok(None),
            }
        }
        Ok(Some(here))
    }

    /// Returns the content of the file of a path; `None` where there is none.
    fn content(&self, path: &str) -> Result<Option<Content<'_>>> {
        let Some(record) = self.find(path)?.filter(|record| !record.is_folder()) else { return Ok(None) };
        let stream = self.stream(&record, DATA, "")?;
        Ok(stream.map(|stream| Content { ntfs: self, stream }))
    }
}

/// The content of a file.
struct Content<'a> {
    ntfs: &'a Ntfs,
    stream: Stream,
}

impl ReadAt for Content<'_> {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.ntfs.read(&self.stream, offset, buf)
    }
}

impl Files for Ntfs {
    fn exists(&mut self, path: &str) -> Result<bool> {
        Ok(self.find(path)?.is_some())
    }

    fn head(&mut self, path: &str, max: usize) -> Result<Option<Vec<u8>>> {
        let Some(mut content) = self.content(path)? else { return Ok(None) };
        let mut bytes = vec![0; max.min(to_usize(content.stream.length()))];
        content.read_at(0, &mut bytes)?;
        Ok(Some(bytes))
    }

    fn open(&mut self, path: &str, look: &mut dyn FnMut(&mut dyn ReadAt) -> Result<()>) -> Result<bool> {
        let Some(mut content) = self.content(path)? else { return Ok(false) };
        look(&mut content)?;
        Ok(true)
    }

    fn usage(&mut self) -> Result<Usage> {
        let label = match self.record(VOLUME)?.attribute(NAME_OF_VOLUME, "")? {
            Some(name) => name.inline().and_then(utf16),
            None => None,
        };
        let mut usage = Usage { label, ..Usage::default() };
        if self.clusters.div_ceil(8) > MAX_BITMAP {
            return Ok(usage);
        }
        if let Some(bitmap) = self.stream(&self.record(BITMAP)?, DATA, "")? {
            let (used, last) = self.count(&bitmap)?;
            usage.used = Some(used.saturating_mul(self.cluster));
            usage.used_until = last.map(|last| (last + 1).saturating_mul(self.cluster));
        }
        Ok(usage)
    }
}

impl Ntfs {
    /// Returns the clusters that a map says are in use, and the last of them.
    fn count(&self, bitmap: &Stream) -> Result<(u64, Option<u64>)> {
        let bytes = self.clusters.div_ceil(8).min(bitmap.length());
        let (mut used, mut last) = (0_u64, None);
        let mut at = 0;
        let mut piece = vec![0; PIECE];
        while at < bytes {
            let length = PIECE.min(to_usize(bytes - at));
            let Some(now) = piece.get_mut(..length) else { break };
            self.read(bitmap, at, now)?;
            for (index, byte) in now.iter().enumerate().filter(|(_, byte)| **byte != 0) {
                let first = (at + to_u64(index)) * 8;
                // The bits behind the last cluster are set.
                let valid = self.clusters.saturating_sub(first).min(8);
                for bit in (0..valid).filter(|bit| byte >> bit & 1 == 1) {
                    used += 1;
                    last = Some(first + bit);
                }
            }
            at += to_u64(length);
        }
        Ok((used, last))
    }
}
