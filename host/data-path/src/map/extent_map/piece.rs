//! The pieces of a map.

use imprint_ports::ByteRange;

/// One encoded unit, as a piece of a map refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedUnit {
    /// The index into the disk's sources.
    pub source: u16,
    /// The index into the disk's codecs.
    pub codec: u16,
    /// The offset of the encoded bytes in the source.
    pub at: u64,
    /// The largest number of encoded bytes.
    pub stored: u32,
    /// The length of the decoded unit in bytes.
    pub unit: u32,
    /// The offset of the piece in the decoded unit.
    pub skip: u32,
}

/// What a piece of a disk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Zeroes.
    Zero,
    /// Nothing: the parent answers, or zeroes where there is none.
    Hole,
    /// Bytes that are stored unencoded.
    Data {
        /// The index into the disk's sources.
        source: u16,
        /// The offset of the bytes in the source.
        at: u64,
    },
    /// (A part of) an encoded unit.
    Encoded(EncodedUnit),
}

/// A piece of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The range on the virtual disk.
    pub range: ByteRange,
    /// What the range holds.
    pub content: Content,
}
