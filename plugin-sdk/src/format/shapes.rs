//! What formats are asked for, and what they return.

use crate::types::{Codec, Props};

/// How an extent's bytes come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtentKind {
    /// Stored as it is: `length` bytes at `source_offset`.
    Data,
    /// Reads as zeroes and hides any parent.
    Zero,
    /// Absent from this layer: the parent answers, or zeroes where there is none.
    Hole,
    /// Stored encoded: `source_length` bytes at `source_offset` become `length` bytes.
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

/// A page of extents: ascending, without gaps or overlaps, from the asked start to `resume`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The extents.
    pub extents: Vec<Extent>,
    /// First virtual byte that the page does not describe.
    pub resume: u64,
    /// Nothing is left up to the asked end.
    pub done: bool,
}

/// A format that a file may have, by its first and last bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guess {
    /// 0 to 100. Raw answers 1, so that anything else wins.
    pub confidence: u8,
    /// `raw`, `qcow2`, ...
    pub format: String,
    /// `dynamic`, `streamOptimized`, ...
    pub subformat: Option<String>,
}

/// What an image states about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// `raw`, `qcow2`, ...
    pub format: String,
    /// Variant of the format.
    pub subformat: Option<String>,
    /// Bytes of the disk that the guest sees.
    pub virtual_size: u64,
    /// Cluster, block or grain in bytes; 1 for byte-exact formats.
    pub unit: u32,
    /// More about the image, for policies and as human-readable text: `encrypted`, `dirty`,
    /// `corrupt`, `internal-snapshots`, `version`, ...
    pub facts: Props,
}

/// Another byte source that an image names. The text is what the FILE says: only the host decides
/// what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// `primary`, `parent`, `extent`, `log`.
    pub role: String,
    /// What the file says.
    pub reference: String,
    /// Format that the file claims for it.
    pub format_hint: Option<String>,
    /// The image cannot be read without it.
    pub required: bool,
}

impl Source {
    /// The file itself: always at index 0.
    pub fn primary() -> Self {
        Self { role: "primary".to_owned(), reference: String::new(), format_hint: None, required: true }
    }
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Dotted code.
    pub code: String,
    /// What was found, human-readable.
    pub message: String,
    /// Where in the file it is; `None` for what concerns the whole image.
    pub offset: Option<u64>,
}

/// A page of findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// At most as many as asked.
    pub items: Vec<Finding>,
    /// Where the next page continues: an opaque token, larger than that of this page.
    pub resume: u64,
    /// Nothing is left.
    pub done: bool,
}

/// The file that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRequest {
    /// Bytes of the disk that the guest sees.
    pub virtual_size: u64,
    /// Payload to expect, from the source's map.
    pub allocated: u64,
    /// Variant of the format.
    pub subformat: Option<String>,
    /// `compress` = `none|zlib|zstd`, `cluster-size` in bytes, ...
    pub options: Props,
    /// The destination can only be appended to.
    pub append_only: bool,
    /// Reference to a parent that the new file names.
    pub parent: Option<String>,
}

/// What precedes every stored unit; all fields together are at most 64 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameField {
    /// These bytes.
    Literal(Vec<u8>),
    /// Unit number (virtual offset / unit) times the factor, 8 bytes little endian.
    AddressU64Le(u32),
    /// Stored bytes without the frame, 4 bytes little endian; `unit` for a unit that is stored as
    /// it is.
    StoredLengthU32Le,
}

/// How the host places payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Bytes before this offset belong to the plugin.
    pub data_start: u64,
    /// Bytes of a unit.
    pub unit: u32,
    /// Alignment of every stored unit in the file, with its frame. What is left free for it reads
    /// as zeroes.
    pub align: u32,
    /// File offset = `data_start` + virtual offset; nothing is reported back.
    pub identity: bool,
    /// Units that are all zeroes are not stored.
    pub skip_zero: bool,
    /// How units are encoded.
    pub codec: Option<Codec>,
    /// Store a unit as it is when encoding does not bring it to `max_encoded` bytes or fewer.
    pub verbatim_if_larger: bool,
    /// Alignment of units that are stored as they are, where encoded ones are packed; 0 means
    /// `align`.
    pub verbatim_align: u32,
    /// Longest encoded unit, without its frame; 0 means smaller than `unit`. At most `unit`, and
    /// without `verbatim_if_larger` 2 x `unit` + 4096: data that does not compress grows a little.
    pub max_encoded: u32,
    /// The payload behind the frame is aligned to this; 0 is none. The frame's length is a multiple
    /// of the smaller one of the two alignments: a frame of 512 bytes with `align` 512 and 4096
    /// here lies at 4096 x k - 512.
    pub align_data: u32,
    /// What precedes every stored unit.
    pub frame: Vec<FrameField>,
    /// Tables between the units: units are grouped by their number (virtual offset / unit / this),
    /// and [`Layout::interleave`](super::Layout::interleave) is asked before the first stored unit
    /// of another group. 0 is never.
    pub interleave_every: u32,
    /// Placements are reported in ascending virtual order.
    pub ascending: bool,
}

impl Rules {
    /// File offset = virtual offset, as in a raw file.
    pub fn identity() -> Self {
        Self { identity: true, ..Self::units(0, 1) }
    }

    /// Whole units of `unit` bytes behind `data_start`, aligned to their size, zero units skipped,
    /// not encoded.
    pub fn units(data_start: u64, unit: u32) -> Self {
        Self {
            data_start,
            unit,
            align: unit,
            identity: false,
            skip_zero: true,
            codec: None,
            verbatim_if_larger: false,
            verbatim_align: 0,
            max_encoded: 0,
            align_data: 0,
            frame: Vec::new(),
            interleave_every: 0,
            ascending: false,
        }
    }
}

/// A run of consecutive units stored back to back; with a frame always one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Virtual offset.
    pub offset: u64,
    /// Virtual length.
    pub length: u64,
    /// Where in the file; of the frame's first byte, where there is a frame.
    pub file_offset: u64,
    /// Encoded bytes of the one unit, without the frame; 0 when stored as they are, and then the
    /// run may hold many units.
    pub stored_length: u32,
}

/// Bytes that a layout wants written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where in the file.
    pub file_offset: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// A page of tables and headers, to be written in this order: what makes the file valid comes last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataPage {
    /// The bytes.
    pub segments: Vec<Segment>,
    /// Opaque place to go on from.
    pub resume: u64,
    /// Nothing is left.
    pub done: bool,
    /// Length of the finished file; in the last page at the latest.
    pub final_size: Option<u64>,
}
