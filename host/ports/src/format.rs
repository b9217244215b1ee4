//! The port to disk formats (`imprint:format` in WIT).

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{BlockSource, ByteRange, ErrorClass, PortError, Props};

/// An encoding of stored bytes: `deflate` (RFC 1951), `zlib` (RFC 1950), `gzip` (RFC 1952) or
/// `zstd` (RFC 8878).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec {
    /// One of the names above.
    pub name: String,
    /// `tail` = `exact` or `garbage` (an extent's `source_length` is an upper bound); `head` = the
    /// number of bytes in front of an extent's `source_offset` that belong to it.
    pub params: Props,
}

/// How the bytes of an extent are obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtentKind {
    /// Stored unencoded.
    Data,
    /// Zeroes, which hide the parent's bytes.
    Zero,
    /// Absent from this layer: the parent has the bytes.
    Hole,
    /// Stored encoded.
    Encoded,
}

/// One piece of a virtual disk. All offsets and lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The offset on the virtual disk.
    pub offset: u64,
    /// The length on the virtual disk.
    pub length: u64,
    /// How the bytes are obtained.
    pub kind: ExtentKind,
    /// The index into the image's sources.
    pub source: u16,
    /// The index into the image's codecs; for [`ExtentKind::Encoded`].
    pub codec: u16,
    /// The offset of the stored bytes in that source.
    pub source_offset: u64,
    /// The number of stored bytes; for [`ExtentKind::Encoded`].
    pub source_length: u32,
}

/// A page of extents as a plugin returned it: NOT yet validated.
#[derive(Clone, Debug)]
pub struct ExtentPage {
    /// The extents in ascending order.
    pub extents: Vec<Extent>,
    /// The first virtual byte that the page does not describe.
    pub resume: u64,
    /// Whether everything up to the requested end is described.
    pub done: bool,
}

/// What a format recognises in the first and last bytes of a file.
#[derive(Clone, Debug)]
pub struct Guess {
    /// 0 to 100; raw answers 1.
    pub confidence: u8,
    /// The format's name: `raw`, `qcow2`, ...
    pub format: String,
    /// The variant of the format: `dynamic`, `streamOptimized`, ...
    pub subformat: Option<String>,
}

/// The description of an image as its format reads it.
#[derive(Clone, Debug)]
pub struct ImageInfo {
    /// The format's name: `raw`, `qcow2`, ...
    pub format: String,
    /// The variant of the format: `dynamic`, `streamOptimized`, ...
    pub subformat: Option<String>,
    /// The size in bytes of the disk that the guest sees.
    pub virtual_size: u64,
    /// The size in bytes of a cluster, block or grain; 1 for byte-exact formats.
    pub unit: u32,
    /// `dirty`, `corrupt`, `encrypted`, `internal-snapshots`, ...
    pub facts: Props,
}

/// Another source that an image names. `reference` is untrusted text.
#[derive(Clone, Debug)]
pub struct SourceRef {
    /// `primary`, `parent`, `extent` or `log`.
    pub role: String,
    /// The name or path that the image's file contains.
    pub reference: String,
    /// The format that the image's file claims for the source.
    pub format_hint: Option<String>,
    /// Whether the image cannot be read without the source.
    pub required: bool,
}

/// How bad a finding of a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Data may be wrong.
    Error,
    /// Space is lost; the data is right.
    Leak,
    /// Worth knowing; nothing is wrong.
    Note,
}

/// One finding of a consistency check.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The dotted code for programs.
    pub code: String,
    /// The human-readable description.
    pub message: String,
    /// The offset in the file, in bytes, where the finding has one.
    pub offset: Option<u64>,
}

/// A page of findings.
#[derive(Clone, Debug)]
pub struct CheckPage {
    /// The findings.
    pub items: Vec<Finding>,
    /// The opaque position from which to continue.
    pub resume: u64,
    /// Whether the check is complete.
    pub done: bool,
}

/// The contents of a new file.
#[derive(Clone, Debug)]
pub struct CreateRequest {
    /// The size in bytes of the disk that the guest sees.
    pub virtual_size: u64,
    /// The number of bytes of payload to expect.
    pub allocated: u64,
    /// The variant of the format.
    pub subformat: Option<String>,
    /// `compress` = `none|zlib|zstd`, `cluster-size`, ...
    pub options: Props,
    /// Whether the destination can only be appended to.
    pub append_only: bool,
}

/// A field that precedes every stored unit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum FrameField {
    /// These bytes.
    Literal(Vec<u8>),
    /// The number of the unit multiplied by this factor, 8 bytes little endian.
    AddressU64Le(u32),
    /// The stored length, 4 bytes little endian.
    StoredLengthU32Le,
}

/// The rules by which the host places payload (`writer.rules` in WIT). Offsets, lengths and
/// alignments are in bytes.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The offset in the file at which the payload starts; bytes before it belong to the plugin.
    pub data_start: u64,
    /// The size of a unit of the virtual disk.
    pub unit: u32,
    /// The alignment of every stored unit in the file, with its frame. The space left free for it
    /// reads as zeroes.
    pub align: u32,
    /// Whether the file offset is `data_start` plus the virtual offset; placements are not reported
    /// then.
    pub identity: bool,
    /// Whether units of zeroes are not stored.
    pub skip_zero: bool,
    /// The encoding of stored units.
    pub codec: Option<Codec>,
    /// Whether a unit is stored unencoded when encoding does not bring it to `max_encoded` bytes or
    /// fewer.
    pub verbatim_if_larger: bool,
    /// The alignment of units that are stored unencoded where encoded ones are packed; 0 means
    /// `align`.
    pub verbatim_align: u32,
    /// The longest encoded unit, without its frame; 0 means shorter than `unit`.
    pub max_encoded: u32,
    /// The alignment of the payload behind the frame; 0 means none.
    pub align_data: u32,
    /// The fields that precede every stored unit.
    pub frame: Vec<FrameField>,
    /// The number of units in a group that is followed by tables of the plugin
    /// ([`FormatLayout::interleave`]); 0 means no tables between units.
    pub interleave_every: u32,
    /// Whether placements are reported in ascending virtual order.
    pub ascending: bool,
}

/// A run of consecutive units stored back to back; with a frame always one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The offset on the virtual disk, in bytes.
    pub offset: u64,
    /// The length on the virtual disk, in bytes.
    pub length: u64,
    /// The offset in the file, in bytes; that of the frame, where there is one.
    pub file_offset: u64,
    /// The number of encoded bytes of the one unit, without the frame; 0 when stored unencoded.
    pub stored_length: u32,
}

/// Bytes of a header or a table that a layout writes to the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MetadataSegment {
    /// The offset in the file, in bytes.
    pub file_offset: u64,
    /// The bytes to write there.
    pub bytes: Vec<u8>,
}

/// A page of tables and headers.
#[derive(Clone, Debug)]
pub struct MetadataPage {
    /// The segments, to be written in this order.
    pub segments: Vec<MetadataSegment>,
    /// The opaque position from which to continue.
    pub resume: u64,
    /// Whether this is the last page.
    pub done: bool,
    /// The length in bytes of the finished file; set in the last page at the latest.
    pub final_size: Option<u64>,
}

/// A disk format.
///
/// # Errors
///
/// Every call fails with a [`PortError`]: an error of the plugin itself, a trap, a timeout, or an
/// answer that breaks the contract.
#[async_trait]
pub trait DiskFormat: Send + Sync {
    /// Returns the product's name for the format: `raw`, `qcow2`, ...
    fn name(&self) -> &str;

    /// Returns whether the format reads images at all. One that does not only recognises files,
    /// under names of their own, and refuses to open them with a sentence that names what they are.
    fn reads(&self) -> bool {
        true
    }

    /// Returns whether the format can write images.
    fn writes(&self) -> bool;

    /// Returns what the format recognises in a file, by its first 64 KiB, its last 4 KiB (or fewer,
    /// where the plugin needs fewer) and its size in bytes.
    async fn probe(&self, head: &[u8], tail: &[u8], size: u64) -> Result<Option<Guess>, PortError>;

    /// Opens an image of this format for reading its map.
    async fn open(
        &self,
        primary: Arc<dyn BlockSource>,
        options: &Props,
    ) -> Result<Box<dyn FormatImage>, PortError>;

    /// Starts the layout of a new file.
    async fn begin_layout(&self, request: &CreateRequest) -> Result<Box<dyn FormatLayout>, PortError>;
}

/// An open image, which takes one call at a time. After a trap every call fails; open the image
/// afresh and continue from `resume`.
///
/// # Errors
///
/// As for [`DiskFormat`].
#[async_trait]
pub trait FormatImage: Send {
    /// Returns the description of the image.
    async fn info(&mut self) -> Result<ImageInfo, PortError>;

    /// Returns the sources; index 0 is the primary.
    async fn sources(&mut self) -> Result<Vec<SourceRef>, PortError>;

    /// Hands over the bytes of a source of the role `extent` that the host granted; `index` is its
    /// position in [`Self::sources`]. Calls that depend on it come afterwards. An image without
    /// such sources need not implement it.
    async fn attach(&mut self, index: u16, _bytes: Arc<dyn BlockSource>) -> Result<(), PortError> {
        Err(PortError::host(
            ErrorClass::Unsupported,
            "format.attach",
            format!("source {index} cannot be attached to an image of this format"),
        ))
    }

    /// Returns the codecs that extents refer to.
    async fn codecs(&mut self) -> Result<Vec<Codec>, PortError>;

    /// Returns file ranges of the format's own tables, at most `max`, from the `start`th on; an
    /// empty answer ends the list.
    async fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>, PortError>;

    /// Returns a page of the map of `[start, end)` with at most `max` extents.
    async fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<ExtentPage, PortError>;

    /// Returns a page of the consistency check with at most `max` findings.
    async fn check(&mut self, start: u64, max: u32) -> Result<CheckPage, PortError>;
}

/// The layout of a file that is being written.
///
/// # Errors
///
/// As for [`DiskFormat`].
#[async_trait]
pub trait FormatLayout: Send {
    /// Returns the placement rules.
    async fn rules(&mut self) -> Result<Rules, PortError>;

    /// Reports at most 4096 runs.
    async fn placed(&mut self, runs: &[Placed]) -> Result<(), PortError>;

    /// Returns the tables at file offset `at`, between the units; with `at` = 0 the head of an
    /// append-only stream, if it is known already.
    async fn interleave(&mut self, at: u64) -> Result<Vec<u8>, PortError>;

    /// Returns a page of tables and headers; `end` is the file offset at which the payload ended.
    async fn metadata(&mut self, end: u64, start: u64, max_bytes: u32) -> Result<MetadataPage, PortError>;
}
