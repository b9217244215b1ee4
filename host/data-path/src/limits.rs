//! Limits on what an image may demand of the data path.

/// The limits for one image; each has a default and can be set by the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest virtual disk, in bytes. Default 16 TiB.
    pub virtual_size: u64,
    /// The largest number of runs and encoded units of a map. Default 2^25, enough for (almost) 2
    /// TiB of compressed 64 KiB clusters.
    ///
    /// The part of a map beyond 2 MiB, and the part of the ranges whose aliasing is checked beyond
    /// 4 MiB, is stored in scratch files: 24 bytes a run, 12 an encoded unit, and 16 for each of
    /// them and each table while aliasing is checked. That is 1.3 GiB for a map of 2^25 runs, and
    /// twice the map while layers are combined, holes are resolved, or a wrapper's disk is shifted
    /// to its offset. In memory it takes 24 bytes for each 1024 pieces.
    pub extents: u64,
    /// The factor by which the compressed data of an image may expand, once it is more than 1 GiB
    /// decoded. Default 256.
    pub expansion: u64,
    /// The longest chain of parents, in layers. Default 16.
    pub chain_depth: u32,
    /// The number of times that a plugin may trap while one image is mapped. Default 3.
    pub restarts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { virtual_size: 16 << 40, extents: 1 << 25, expansion: 256, chain_depth: 16, restarts: 3 }
    }
}

/// The number of decoded bytes from which on the expansion is checked.
pub(crate) const EXPANSION_FLOOR: u64 = 1 << 30;
/// The longest decoded unit in bytes: a compressed cluster of any format that is read.
pub(crate) const MAX_UNIT: u64 = 4 << 20;
/// The number of extents requested in one call.
pub(crate) const PAGE_EXTENTS: u32 = 2048;
/// The number of metadata ranges requested in one call.
pub(crate) const PAGE_RANGES: u32 = 4096;
/// The largest number of metadata ranges of one image.
pub(crate) const MAX_METADATA_RANGES: usize = 1 << 22;
