//! Bounds on what an image may ask of the engine.

/// Bounds on one image; each has a default and can be set by the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest virtual disk, in bytes. Default 16 TiB.
    pub virtual_size: u64,
    /// Most runs and encoded units of a map. Default 2^25, enough for (almost) 2 TiB of compressed
    /// 64 KiB clusters.
    ///
    /// What is more than 2 MiB of a map, and more than 4 MiB of the ranges whose aliasing is
    /// checked, lies in scratch files: 24 bytes a run, 12 an encoded unit, and 16 for each of them
    /// and each table while aliasing is checked. That is 1.3 GiB for a map of 2^25 runs, and twice
    /// the map while layers are put together, holes are resolved, or a wrapper's disk is moved to
    /// its place. In memory it takes 24 bytes for each 1024 pieces.
    pub extents: u64,
    /// How many times larger than stored the compressed data of an image may become, once that is
    /// more than 1 GiB. Default 256.
    pub expansion: u64,
    /// Longest chain of parents. Default 16.
    pub chain_depth: u32,
    /// How often a plugin may trap while one image is mapped. Default 3.
    pub restarts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { virtual_size: 16 << 40, extents: 1 << 25, expansion: 256, chain_depth: 16, restarts: 3 }
    }
}

/// Expansion is not judged below this many decoded bytes.
pub(crate) const EXPANSION_FLOOR: u64 = 1 << 30;
/// Longest decoded unit: a compressed cluster of any format that is read.
pub(crate) const MAX_UNIT: u64 = 4 << 20;
/// Extents asked for in one call.
pub(crate) const PAGE_EXTENTS: u32 = 2048;
/// Metadata ranges asked for in one call.
pub(crate) const PAGE_RANGES: u32 = 4096;
/// Most metadata ranges of one image.
pub(crate) const MAX_METADATA_RANGES: usize = 1 << 22;
