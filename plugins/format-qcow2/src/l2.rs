//! The entries of an L2 table.
//!
//! Standard entry, 64 bits: 63 refcount is one, 62 compressed; else bits 9-55 host offset, bit 0
//! reads as zeroes. Compressed: with x = 62 - (cluster_bits - 8), bits 0..x are a BYTE offset and
//! bits x..62 the number of 512-byte sectors beyond the one that the offset lies in. Extended
//! entries have a second word: bits 0-31 say which subclusters are allocated, bits 32-63 which read
//! as zeroes.

use imprint_plugin_sdk::format::FormatError;

use crate::version::Version;

/// Refcount of what the entry points to is exactly one.
pub(crate) const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;
/// Host offsets, in L1 and in L2 entries.
pub(crate) const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
const SECTOR: u64 = 512;

/// How a cluster's bytes come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cluster {
    /// Not in this file.
    Hole,
    /// Zeroes; space may be set aside at the offset, 0 is none.
    Zero(u64),
    /// A whole cluster at the offset.
    Data(u64),
    /// Encoded bytes.
    Compressed(Compressed),
    /// Subclusters of both kinds; the offset is 0 when none is allocated.
    Mixed {
        /// Of the whole cluster.
        host: u64,
        /// Bit per subcluster: its bytes are in the file.
        allocated: u32,
        /// Bit per subcluster: it reads as zeroes.
        zero: u32,
    },
}

/// Where encoded bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compressed {
    /// First byte.
    pub(crate) offset: u64,
    /// Up to the end of the last sector: at least the encoded bytes.
    pub(crate) length: u64,
}

/// How long an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// One word.
    Standard,
    /// Two words.
    Extended,
}

/// Reads entries of one image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryReader {
    /// Zero clusters came with version 3.
    pub(crate) version: Version,
    /// 9 to 21.
    pub(crate) cluster_bits: u32,
    /// For all entries of the image.
    pub(crate) kind: EntryKind,
}

impl EntryReader {
    /// Reads all whole entries of a part of a table.
    pub(crate) fn clusters(self, bytes: &[u8]) -> impl Iterator<Item = Result<Cluster, FormatError>> + '_ {
        self.words(bytes).map(move |(entry, bitmap)| self.cluster(entry, bitmap))
    }

    /// The words of all whole entries of a part of a table; the second is 0 where entries have one.
    pub(crate) fn words(self, bytes: &[u8]) -> impl Iterator<Item = (u64, u64)> + '_ {
        let (words, _): (&[[u8; 8]], _) = bytes.as_chunks();
        let step = match self.kind {
            EntryKind::Standard => 1,
            EntryKind::Extended => 2,
        };
        let word = |chunk: &[u8; 8]| u64::from_be_bytes(*chunk);
        words.chunks_exact(step).map(move |entry| match entry {
            [one] => (word(one), 0),
            [one, two] => (word(one), word(two)),
            _ => (0, 0),
        })
    }

    /// The bits of entries that say no more than where a whole cluster is, or that there is none:
    /// an entry without any others needs no closer look.
    pub(crate) fn simple(self) -> Option<u64> {
        let zero = match self.version {
            Version::V2 => 0,
            Version::V3 => ZERO,
        };
        let aligned = OFFSET_MASK & !((1 << self.cluster_bits) - 1);
        (self.kind == EntryKind::Standard).then_some(aligned | COPIED | zero)
    }

    /// Reads one entry.
    pub(crate) fn cluster(self, entry: u64, bitmap: u64) -> Result<Cluster, FormatError> {
        match self.kind {
            EntryKind::Standard => self.standard(entry),
            EntryKind::Extended => self.extended(entry, bitmap),
        }
    }

    /// Reads a standard entry.
    fn standard(self, entry: u64) -> Result<Cluster, FormatError> {
        if entry & COMPRESSED != 0 {
            return self.compressed(entry).map(Cluster::Compressed);
        }
        let host = self.host_offset(entry, ZERO)?;
        match (entry & ZERO != 0, self.version) {
            (true, Version::V2) => Err(damaged("has the zero bit in a version 2 image", entry)),
            (true, Version::V3) => Ok(Cluster::Zero(host)),
            (false, Version::V2 | Version::V3) if host == 0 => Ok(Cluster::Hole),
            (false, Version::V2 | Version::V3) => Ok(Cluster::Data(host)),
        }
    }

    /// Reads an extended entry: its two words.
    fn extended(self, entry: u64, bitmap: u64) -> Result<Cluster, FormatError> {
        if entry & COMPRESSED != 0 {
            if bitmap != 0 {
                return Err(damaged("is compressed and has a subcluster bitmap", entry));
            }
            return self.compressed(entry).map(Cluster::Compressed);
        }
        let host = self.host_offset(entry, 0)?;
        let (zero, allocated) = split(bitmap);
        if zero & allocated != 0 {
            return Err(damaged("has subclusters that are both allocated and zero", entry));
        }
        if host == 0 && allocated != 0 {
            return Err(damaged("has allocated subclusters without a place", entry));
        }
        Ok(match (allocated, zero) {
            (u32::MAX, _) => Cluster::Data(host),
            (_, u32::MAX) => Cluster::Zero(host),
            (0, 0) if host == 0 => Cluster::Hole,
            (allocated, zero) => Cluster::Mixed { host, allocated, zero },
        })
    }

    /// The place of a cluster that is not compressed; `flags` may be set in it.
    fn host_offset(self, entry: u64, flags: u64) -> Result<u64, FormatError> {
        let host = entry & OFFSET_MASK;
        if entry & !(OFFSET_MASK | COPIED | flags) != 0 {
            return Err(damaged("has reserved bits set", entry));
        }
        if host & ((1 << self.cluster_bits) - 1) != 0 {
            return Err(damaged("points between two clusters", entry));
        }
        Ok(host)
    }

    fn compressed(self, entry: u64) -> Result<Compressed, FormatError> {
        if entry & COPIED != 0 {
            return Err(damaged("is compressed and has the copied flag", entry));
        }
        let width = 62 - (self.cluster_bits - 8);
        let offset = entry & ((1 << width) - 1);
        let more = (entry & !COMPRESSED) >> width;
        if offset >> 56 != 0 {
            return Err(damaged("points behind any file", entry));
        }
        Ok(Compressed { offset, length: (more + 1) * SECTOR - offset % SECTOR })
    }
}

/// The high and the low half.
fn split(bitmap: u64) -> (u32, u32) {
    let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).expect("masked to 32 bits");
    (half(bitmap >> 32), half(bitmap))
}

fn damaged(what: &str, entry: u64) -> FormatError {
    FormatError::Table(format!("the L2 entry {entry:#018x} {what}"))
}

/// The entry of a plain cluster that nothing else refers to.
pub(crate) fn plain_entry(host: u64) -> u64 {
    host | COPIED
}

/// The entry of an encoded cluster; `None` when the format cannot say it.
pub(crate) fn compressed_entry(cluster_bits: u32, offset: u64, length: u32) -> Option<u64> {
    let width = 62 - (cluster_bits - 8);
    let last = offset.checked_add(u64::from(length))?.checked_sub(1)?;
    let more = last / SECTOR - offset / SECTOR;
    let fits = offset >> width.min(56) == 0 && more >> (cluster_bits - 8) == 0;
    fits.then_some(COMPRESSED | more << width | offset)
}
