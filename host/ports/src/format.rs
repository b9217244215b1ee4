//! The port to disk formats (`imprint:format` in WIT).

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{BlockSource, ByteRange, ErrorClass, PortError, Props};

/// An encoding of stored bytes: `deflate` (RFC 1951), `zlib` (RFC 1950), `gzip` (RFC 1952) or
/// `zstd` (RFC 8878).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec {
    /// Name as above.
    pub name: String,
    /// `tail` = `exact` or `garbage` (an extent's `source_length` is an upper bound); `head` =
    /// bytes in front of an extent's `source_offset` that belong to it.
    pub params: Props,
}

/// How an extent's bytes come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtentKind {
    /// Stored as it is.
    Data,
    /// Reads as zeroes, hides the parent.
    Zero,
    /// Absent: the parent answers.
    Hole,
    /// Stored encoded.
    Encoded,
}

/// One piece of a virtual disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Virtual offset.
    pub offset: u64,
    /// Virtual length.
    pub length: u64,
    /// How the bytes come about.
    pub kind: ExtentKind,
    /// Index into the image's sources.
    pub source: u16,
    /// Index into the image's codecs; for [`ExtentKind::Encoded`].
    pub codec: u16,
    /// Where the stored bytes start in that source.
    pub source_offset: u64,
    /// Stored bytes; for [`ExtentKind::Encoded`].
    pub source_length: u32,
}

/// A page of extents as a plugin gave it: NOT yet validated.
#[derive(Clone, Debug)]
pub struct ExtentPage {
    /// In ascending order.
    pub extents: Vec<Extent>,
    /// First virtual byte not described.
    pub resume: u64,
    /// Nothing is left up to the asked end.
    pub done: bool,
}

/// What a format makes of the first and last bytes of a file.
#[derive(Clone, Debug)]
pub struct Guess {
    /// 0 to 100; raw answers 1.
    pub confidence: u8,
    /// `raw`, `qcow2`, ...
    pub format: String,
    /// `dynamic`, `streamOptimized`, ...
    pub subformat: Option<String>,
}

/// What an image says of itself.
#[derive(Clone, Debug)]
pub struct ImageInfo {
    /// `raw`, `qcow2`, ...
    pub format: String,
    /// `dynamic`, `streamOptimized`, ...
    pub subformat: Option<String>,
    /// Bytes of the disk that the guest sees.
    pub virtual_size: u64,
    /// Cluster, block or grain in bytes; 1 for byte-exact formats.
    pub unit: u32,
    /// `dirty`, `corrupt`, `encrypted`, `internal-snapshots`, ...
    pub facts: Props,
}

/// Another source that an image names. `reference` is untrusted text.
#[derive(Clone, Debug)]
pub struct SourceRef {
    /// `primary`, `parent`, `extent`, `log`.
    pub role: String,
    /// What the file says.
    pub reference: String,
    /// Format that the file claims for it.
    pub format_hint: Option<String>,
    /// The image cannot be read without it.
    pub required: bool,
}

/// How bad a finding of a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Data may be wrong.
    Error,
    /// Space is lost, data is right.
    Leak,
    /// Worth knowing.
    Note,
}

/// One finding of a consistency check.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Dotted code.
    pub code: String,
    /// For people.
    pub message: String,
    /// Where in the file.
    pub offset: Option<u64>,
}

/// A page of findings.
#[derive(Clone, Debug)]
pub struct CheckPage {
    /// The findings.
    pub items: Vec<Finding>,
    /// Opaque place to go on from.
    pub resume: u64,
    /// Nothing is left.
    pub done: bool,
}

/// What a new file shall hold.
#[derive(Clone, Debug)]
pub struct CreateRequest {
    /// Bytes of the disk that the guest sees.
    pub virtual_size: u64,
    /// Payload to expect.
    pub allocated: u64,
    /// Variant of the format.
    pub subformat: Option<String>,
    /// `compress` = `none|zlib|zstd`, `cluster-size`, ...
    pub options: Props,
    /// The destination can only be appended to.
    pub append_only: bool,
}

/// What precedes every stored unit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum FrameField {
    /// These bytes.
    Literal(Vec<u8>),
    /// Unit number times the factor, 8 bytes little endian.
    AddressU64Le(u32),
    /// Stored length, 4 bytes little endian.
    StoredLengthU32Le,
}

/// How the host places payload (`writer.rules` in WIT, which documents each field).
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is documented in wit/format")]
pub struct Rules {
    pub data_start: u64,
    pub unit: u32,
    pub align: u32,
    pub identity: bool,
    pub skip_zero: bool,
    pub codec: Option<Codec>,
    pub verbatim_if_larger: bool,
    pub verbatim_align: u32,
    pub max_encoded: u32,
    pub align_data: u32,
    pub frame: Vec<FrameField>,
    pub interleave_every: u32,
    pub ascending: bool,
}

/// A run of consecutive units stored back to back; with a frame always one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Virtual offset.
    pub offset: u64,
    /// Virtual length.
    pub length: u64,
    /// Where in the file; of the frame, where there is one.
    pub file_offset: u64,
    /// Encoded bytes of the one unit, without the frame; 0 when stored as they are.
    pub stored_length: u32,
}

/// Bytes that a layout wants written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MetadataSegment {
    /// Where in the file.
    pub file_offset: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// A page of tables and headers.
#[derive(Clone, Debug)]
pub struct MetadataPage {
    /// To be written in this order.
    pub segments: Vec<MetadataSegment>,
    /// Opaque place to go on from.
    pub resume: u64,
    /// Nothing is left.
    pub done: bool,
    /// Length of the finished file; in the last page at the latest.
    pub final_size: Option<u64>,
}

/// A disk format.
#[async_trait]
pub trait DiskFormat: Send + Sync {
    /// Name in the product: `raw`, `qcow2`, ...
    fn name(&self) -> &str;
    /// Whether it reads images at all. One that does not only recognises files, under names of
    /// their own, and refuses to open them with a sentence that says what they are.
    fn reads(&self) -> bool {
        true
    }
    /// Whether it has a write side.
    fn writes(&self) -> bool;
    /// Judges a file by its first 64 KiB, its last 4 KiB (or as little of them as it needs) and its
    /// size.
    async fn probe(&self, head: &[u8], tail: &[u8], size: u64) -> Result<Option<Guess>, PortError>;
    /// Opens an image of this format for reading its map.
    async fn open(
        &self,
        primary: Arc<dyn BlockSource>,
        options: &Props,
    ) -> Result<Box<dyn FormatImage>, PortError>;
    /// Begins the layout of a new file.
    async fn begin_layout(&self, request: &CreateRequest) -> Result<Box<dyn FormatLayout>, PortError>;
}

/// An open image. One call at a time. After a trap every call fails; open it again and go on from
/// `resume`.
#[async_trait]
pub trait FormatImage: Send {
    /// What the image says of itself.
    async fn info(&mut self) -> Result<ImageInfo, PortError>;
    /// The sources; index 0 is the primary.
    async fn sources(&mut self) -> Result<Vec<SourceRef>, PortError>;
    /// Hands over the bytes of a source of the role `extent` that the host granted; `index` is its
    /// place in [`Self::sources`]. Whatever refers to it is asked for afterwards. An image that has
    /// no such sources need not implement it.
    async fn attach(&mut self, index: u16, _bytes: Arc<dyn BlockSource>) -> Result<(), PortError> {
        Err(PortError::host(
            ErrorClass::Unsupported,
            "format.attach",
            format!("source {index} cannot be attached to an image of this format"),
        ))
    }
    /// The codecs that extents refer to.
    async fn codecs(&mut self) -> Result<Vec<Codec>, PortError>;
    /// File ranges of the format's own tables, at most `max`, from the `start`th on; an empty
    /// answer ends the list.
    async fn metadata_ranges(&mut self, start: u64, max: u32) -> Result<Vec<ByteRange>, PortError>;
    /// A page of the map of `[start, end)`.
    async fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<ExtentPage, PortError>;
    /// A page of the consistency check.
    async fn check(&mut self, start: u64, max: u32) -> Result<CheckPage, PortError>;
}

/// The layout of a file being written.
#[async_trait]
pub trait FormatLayout: Send {
    /// The placement rules.
    async fn rules(&mut self) -> Result<Rules, PortError>;
    /// Reports at most 4096 runs.
    async fn placed(&mut self, runs: &[Placed]) -> Result<(), PortError>;
    /// Tables that lie at `at`, between the units; at 0 the head of an append-only stream, if it is
    /// known already.
    async fn interleave(&mut self, at: u64) -> Result<Vec<u8>, PortError>;
    /// A page of tables and headers; `end` is where the payload ended.
    async fn metadata(&mut self, end: u64, start: u64, max_bytes: u32) -> Result<MetadataPage, PortError>;
}
