//! Cluster 0: the header, its extensions and the backing name, checked before anything else is
//! believed.
//!
//! Big endian. Version 2 ends at byte 72; version 3 goes on with feature bits, the refcount width,
//! its own length and the compression type. Extensions follow
//! (`u32 type, u32 length, data padded to 8`), then the backing name.

mod extension;

use imprint_plugin_sdk::{
    format::{
        FormatError,
        blob::{overlap, read_exact},
        wire::{be32, be64, to_u64, to_usize},
    },
    host::Blob,
    types::ByteRange,
};

use crate::{
    l2::{EntryKind, EntryReader},
    version::Version,
};

pub use extension::{Bitmaps, Extensions};

/// First four bytes of every version.
pub const MAGIC: u32 = 0x5146_49fb;

const V2_LENGTH: u64 = 72;
const V3_LENGTH: u64 = 104;
const MAX_L1_BYTES: u64 = 32 << 20;
const MAX_REFCOUNT_TABLE_BYTES: u64 = 8 << 20;
const MAX_SNAPSHOTS: u32 = 65_536;
const MAX_BACKING_NAME: u32 = 1023;
const MAX_BITMAP_DIRECTORY: u64 = 64 << 20;
/// The shortest entry of a snapshot table.
const SNAPSHOT_ENTRY: u64 = 40;

const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const DATA_FILE: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
const KNOWN_INCOMPATIBLE: u64 = DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2;
const LAZY_REFCOUNTS: u64 = 1;
const AUTOCLEAR_BITMAPS: u64 = 1;

const CORRUPT_ADVICE: &str = "the image is marked as corrupt; repair it with `qemu-img check -r all`, or read it as it is (imprint disk: --salvage)";
const PLAIN_ADVICE: &str = "convert the image with the tool that made it to plain qcow2 version 3";
const DECRYPT_ADVICE: &str = "decrypt the image with `qemu-img convert` first";

/// How compressed clusters are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1951, without a zlib frame.
    Deflate,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// The codec's name in the contract.
    pub fn codec_name(self) -> &'static str {
        match self {
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }
}

/// The parent that the file names: untrusted text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backing {
    /// The name; nothing here opens it.
    pub name: String,
    /// The format that the file claims for it.
    pub format: Option<String>,
}

/// Whether an image that is marked as corrupt is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damaged {
    /// The default.
    Refuse,
    /// The caller wants what can be had.
    Salvage,
}

/// A header that passed every check that needs no other table.
#[derive(Clone, Debug)]
pub struct Header {
    /// 2 or 3.
    pub version: Version,
    /// 9 to 21.
    pub cluster_bits: u32,
    /// Bytes of the disk: what the header says, rounded down to sectors as QEMU does.
    pub virtual_size: u64,
    /// What the header says.
    pub stated_size: u64,
    /// Where the active L1 table is.
    pub l1: ByteRange,
    /// Entries of the active L1 table.
    pub l1_entries: u32,
    /// Where the refcount table is.
    pub refcount_table: ByteRange,
    /// log2 of the bits of one refcount, 0 to 6.
    pub refcount_order: u32,
    /// Internal snapshots.
    pub snapshots: u32,
    /// Where their table starts.
    pub snapshots_offset: u64,
    /// Refcounts may be behind.
    pub dirty: bool,
    /// The file says that its tables are damaged.
    pub corrupt: bool,
    /// L2 entries are 16 bytes long and describe 32 subclusters.
    pub extended_l2: bool,
    /// Refcounts are written late.
    pub lazy_refcounts: bool,
    /// For all compressed clusters.
    pub compression: Compression,
    /// The parent, if the file names one.
    pub backing: Option<Backing>,
    /// Persistent bitmaps, when they are consistent.
    pub bitmaps: Option<Bitmaps>,
}

impl Header {
    /// Reads and checks cluster 0.
    pub fn read(source: &dyn Blob, damaged: Damaged) -> Result<Self, FormatError> {
        let first = read_exact(source, 0, source.size().min(V3_LENGTH + 8))?;
        let fields = Fields { bytes: &first };
        let version = check_magic(&fields)?;
        let cluster_bits = fields.u32(20)?;
        if !(9..=21).contains(&cluster_bits) {
            return Err(FormatError::Header(format!(
                "cluster_bits is {cluster_bits}, where 9 to 21 are possible"
            )));
        }
        let cluster = 1_u64 << cluster_bits;
        let features = Features::read(&fields, version, cluster)?;
        if features.incompatible & CORRUPT != 0 && damaged == Damaged::Refuse {
            return Err(FormatError::CorruptFlag(CORRUPT_ADVICE.to_owned()));
        }
        if source.size() < cluster {
            return Err(FormatError::Truncated("the file ends inside its first cluster".into()));
        }
        let cluster_0 = read_exact(source, 0, cluster)?;
        let (backing_name, area_end) = backing_name(&fields, &cluster_0, features.length)?;
        let extensions = Extensions::read(&cluster_0, features.length, area_end)?;
        check_encryption(fields.u32(32)?, &extensions)?;
        if features.incompatible & DATA_FILE != 0 || extensions.data_file.is_some() {
            let name = extensions.data_file.as_deref().unwrap_or("without a name");
            return Err(FormatError::ExternalReference(format!(
                "the payload is in an external data file ({name:?}); flatten the image into one file with `qemu-img convert -O qcow2`"
            )));
        }
        let stated_size = fields.u64(24)?;
        let header = Self {
            version,
            cluster_bits,
            virtual_size: stated_size - stated_size % 512,
            stated_size,
            l1: ByteRange { offset: fields.u64(40)?, length: u64::from(fields.u32(36)?) * 8 },
            l1_entries: fields.u32(36)?,
            refcount_table: ByteRange {
                offset: fields.u64(48)?,
                length: u64::from(fields.u32(56)?) << cluster_bits,
            },
            refcount_order: features.refcount_order,
            snapshots: fields.u32(60)?,
            snapshots_offset: fields.u64(64)?,
            dirty: features.incompatible & DIRTY != 0,
            corrupt: features.incompatible & CORRUPT != 0,
            extended_l2: features.incompatible & EXTENDED_L2 != 0,
            lazy_refcounts: features.compatible & LAZY_REFCOUNTS != 0,
            compression: features.compression,
            backing: backing_name.map(|name| Backing { name, format: extensions.backing_format.clone() }),
            bitmaps: extensions.bitmaps.filter(|_| features.autoclear & AUTOCLEAR_BITMAPS != 0),
        };
        header.check_tables(source.size())?;
        Ok(header)
    }

    /// Bytes of a cluster.
    pub fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Bytes of an L2 entry.
    pub fn l2_entry(&self) -> u64 {
        if self.extended_l2 { 16 } else { 8 }
    }

    /// Entries of a part of an L2 table.
    pub(crate) fn entries_of(&self, bytes: &[u8]) -> u64 {
        to_u64(bytes.len()) / self.l2_entry()
    }

    /// Virtual bytes that one L2 table describes.
    pub fn l2_span(&self) -> u64 {
        (self.cluster() / self.l2_entry()) << self.cluster_bits
    }

    /// What reads the image's L2 entries.
    pub(crate) fn entry_reader(&self) -> EntryReader {
        let kind = if self.extended_l2 { EntryKind::Extended } else { EntryKind::Standard };
        EntryReader { version: self.version, cluster_bits: self.cluster_bits, kind }
    }

    /// The ranges that the header itself names, which must be disjoint; the snapshot table is at
    /// least this long.
    pub fn fixed_ranges(&self) -> Vec<ByteRange> {
        let mut ranges = vec![ByteRange { offset: 0, length: self.cluster() }, self.l1, self.refcount_table];
        ranges.push(ByteRange {
            offset: self.snapshots_offset,
            length: u64::from(self.snapshots) * SNAPSHOT_ENTRY,
        });
        ranges.extend(self.bitmaps.map(|bitmaps| ByteRange { offset: bitmaps.offset, length: bitmaps.size }));
        ranges.retain(|range| range.length > 0);
        ranges
    }

    fn check_tables(&self, file: u64) -> Result<(), FormatError> {
        let needed = self.virtual_size.div_ceil(self.l2_span());
        if needed > MAX_L1_BYTES / 8 {
            return Err(FormatError::VirtualSize(format!(
                "the virtual size of {} bytes is more than an L1 table of {MAX_L1_BYTES} bytes can describe; the header is forged",
                self.stated_size
            )));
        }
        limit("the L1 table", self.l1.length, MAX_L1_BYTES)?;
        limit("the refcount table", self.refcount_table.length, MAX_REFCOUNT_TABLE_BYTES)?;
        limit("the snapshot table", self.snapshots.into(), MAX_SNAPSHOTS.into())?;
        if needed > u64::from(self.l1_entries) {
            return Err(FormatError::Table(format!(
                "the L1 table has {} entries, and a disk of {} bytes needs {needed}",
                self.l1_entries, self.stated_size
            )));
        }
        if self.refcount_table.length == 0 {
            return Err(FormatError::Header("there is no refcount table".into()));
        }
        self.check_place("the L1 table", self.l1, file, FormatError::Table)?;
        self.check_place("the refcount table", self.refcount_table, file, FormatError::Truncated)?;
        let snapshots =
            ByteRange { offset: self.snapshots_offset, length: u64::from(self.snapshots) * SNAPSHOT_ENTRY };
        self.check_place("the snapshot table", snapshots, file, FormatError::Table)?;
        if let Some(bitmaps) = self.bitmaps {
            let directory = ByteRange { offset: bitmaps.offset, length: bitmaps.size };
            limit("the bitmap directory", directory.length, MAX_BITMAP_DIRECTORY)?;
            self.check_place("the bitmap directory", directory, file, FormatError::Table)?;
        }
        let fixed = self.fixed_ranges();
        let clash = fixed
            .iter()
            .enumerate()
            .any(|(index, one)| fixed.iter().skip(index + 1).any(|two| overlap(*one, *two)));
        if clash {
            return Err(FormatError::Aliased(
                "two of header, L1 table, refcount table and snapshot table overlap".into(),
            ));
        }
        Ok(())
    }

    /// A table starts at a cluster and lies inside the file; `outside` is what it is when it does
    /// not.
    fn check_place(
        &self,
        what: &str,
        range: ByteRange,
        file: u64,
        outside: fn(String) -> FormatError,
    ) -> Result<(), FormatError> {
        if range.length == 0 {
            return Ok(());
        }
        if !range.offset.is_multiple_of(self.cluster()) {
            return Err(FormatError::Table(format!(
                "{what} starts at {:#x}, which is no cluster",
                range.offset
            )));
        }
        match range.offset.checked_add(range.length) {
            None => Err(FormatError::Table(format!("{what} starts at {:#x}, behind any file", range.offset))),
            Some(end) if end > file => Err(outside(format!("{what} ends at {end}, and the file at {file}"))),
            Some(_) => Ok(()),
        }
    }
}

/// What differs between the versions.
struct Features {
    incompatible: u64,
    compatible: u64,
    autoclear: u64,
    refcount_order: u32,
    length: u64,
    compression: Compression,
}

impl Features {
    fn read(fields: &Fields<'_>, version: Version, cluster: u64) -> Result<Self, FormatError> {
        let features = match version {
            Version::V2 => Self {
                incompatible: 0,
                compatible: 0,
                autoclear: 0,
                refcount_order: 4,
                length: V2_LENGTH,
                compression: Compression::Deflate,
            },
            Version::V3 => Self::read_v3(fields)?,
        };
        if !(V2_LENGTH..=cluster).contains(&features.length) || !features.length.is_multiple_of(8) {
            return Err(FormatError::Header(format!("header_length is {}", features.length)));
        }
        if features.refcount_order > 6 {
            return Err(FormatError::Header(format!(
                "refcount_order is {}, where 0 to 6 are possible",
                features.refcount_order
            )));
        }
        if features.incompatible & EXTENDED_L2 != 0 && cluster < 16 << 10 {
            return Err(FormatError::Header(format!("extended L2 entries with clusters of {cluster} bytes")));
        }
        Ok(features)
    }

    fn read_v3(fields: &Fields<'_>) -> Result<Self, FormatError> {
        let incompatible = fields.u64(72)?;
        let unknown = incompatible & !KNOWN_INCOMPATIBLE;
        if unknown != 0 {
            return Err(FormatError::Feature(format!(
                "the image uses unknown incompatible features ({unknown:#x}); {PLAIN_ADVICE}"
            )));
        }
        let length = u64::from(fields.u32(100)?);
        if length < V3_LENGTH {
            return Err(FormatError::Header(format!(
                "header_length is {length}, where at least {V3_LENGTH} are needed"
            )));
        }
        let kind = if length > V3_LENGTH { fields.u32(104)? >> 24 } else { 0 };
        let compression = match (kind, incompatible & COMPRESSION != 0) {
            (0, false) => Compression::Deflate,
            (1, true) => Compression::Zstd,
            (0 | 1, _) => {
                return Err(FormatError::Header("compression type and its feature bit disagree".into()));
            }
            (_, true) => {
                return Err(FormatError::Feature(format!(
                    "compression type {kind} is unknown; {PLAIN_ADVICE}"
                )));
            }
            (_, false) => {
                return Err(FormatError::Header(format!("compression type {kind} without its feature bit")));
            }
        };
        Ok(Self {
            incompatible,
            compatible: fields.u64(80)?,
            autoclear: fields.u64(88)?,
            refcount_order: fields.u32(96)?,
            length,
            compression,
        })
    }
}

/// The first bytes of the file, where a field may be missing because the file is too short.
struct Fields<'a> {
    bytes: &'a [u8],
}

impl Fields<'_> {
    fn u32(&self, at: usize) -> Result<u32, FormatError> {
        be32(self.bytes, at).ok_or_else(short_header)
    }

    fn u64(&self, at: usize) -> Result<u64, FormatError> {
        be64(self.bytes, at).ok_or_else(short_header)
    }
}

fn short_header() -> FormatError {
    FormatError::Truncated("the file ends inside its header".into())
}

fn check_magic(fields: &Fields<'_>) -> Result<Version, FormatError> {
    if be32(fields.bytes, 0) != Some(MAGIC) {
        return Err(FormatError::Header("the file does not start with the qcow2 magic".into()));
    }
    match fields.u32(4)? {
        2 => Ok(Version::V2),
        3 => Ok(Version::V3),
        other => Err(FormatError::Version(format!(
            "qcow2 version {other} is not supported; convert the image to version 3 with `qemu-img convert -O qcow2`"
        ))),
    }
}

/// The parent's name, and where the extensions must have ended.
fn backing_name(
    fields: &Fields<'_>,
    cluster_0: &[u8],
    header: u64,
) -> Result<(Option<String>, u64), FormatError> {
    let (offset, length) = (fields.u64(8)?, fields.u32(16)?);
    let cluster = to_u64(cluster_0.len());
    if offset == 0 {
        return Ok((None, cluster));
    }
    if length > MAX_BACKING_NAME {
        return Err(FormatError::Header(format!(
            "the backing name is {length} bytes long, where {MAX_BACKING_NAME} are possible"
        )));
    }
    let end = offset.checked_add(length.into()).filter(|end| *end <= cluster && offset >= header);
    let bytes = end.map(|end| Ok::<_, FormatError>((to_usize(offset)?, to_usize(end)?))).transpose()?;
    match bytes.and_then(|(start, end)| cluster_0.get(start..end)) {
        Some([]) => Ok((None, offset)),
        Some(name) => Ok((Some(String::from_utf8_lossy(name).into_owned()), offset)),
        None => Err(FormatError::Header(format!(
            "the backing name at {offset:#x} is outside of the first cluster"
        ))),
    }
}

fn check_encryption(method: u32, extensions: &Extensions) -> Result<(), FormatError> {
    match method {
        0 => Ok(()),
        1 => Err(FormatError::Encrypted(format!("the image is encrypted (AES); {DECRYPT_ADVICE}"))),
        2 if extensions.luks => {
            Err(FormatError::Encrypted(format!("the image is encrypted (LUKS); {DECRYPT_ADVICE}")))
        }
        2 => Err(FormatError::Header("the image says LUKS, and has no LUKS header".into())),
        other => Err(FormatError::Header(format!("crypt_method is {other}, where 0 to 2 are possible"))),
    }
}

fn limit(what: &str, value: u64, most: u64) -> Result<(), FormatError> {
    if value > most {
        return Err(FormatError::TableSize(format!(
            "{what} claims {value}, where {most} is the limit; the header is forged"
        )));
    }
    Ok(())
}
