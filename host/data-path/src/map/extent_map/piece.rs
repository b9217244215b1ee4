//! The pieces of a map.

use imprint_ports::ByteRange;

/// One encoded unit, as a piece of a map refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedUnit {
    /// Index into the disk's sources.
    pub source: u16,
    /// Index into the disk's codecs.
    pub codec: u16,
    /// Where the encoded bytes start.
    pub at: u64,
    /// How many they are, at most.
    pub stored: u32,
    /// Length of the decoded unit.
    pub unit: u32,
    /// Where in the decoded unit the piece begins.
    pub skip: u32,
}

/// What a piece of a disk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Zeroes.
    Zero,
    /// Nothing of its own: the parent answers, or zeroes where there is none.
    Hole,
    /// Bytes as they are stored.
    Data {
        /// Index into the disk's sources.
        source: u16,
        /// Where the bytes start.
        at: u64,
    },
    /// (A part of) an encoded unit.
    Encoded(EncodedUnit),
}

/// A piece of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where, in the virtual disk.
    pub range: ByteRange,
    /// What it holds.
    pub content: Content,
}
