//! The parts that a disk is made of.

use crate::sparse::Sparse;

/// A part of the disk.
pub(crate) struct Part {
    /// Its first byte of the disk.
    pub(crate) start: u64,
    pub(crate) length: u64,
    pub(crate) kind: PartKind,
}

impl Part {
    pub(crate) fn end(&self) -> u64 {
        self.start + self.length
    }
}

/// What a part is made of. Sources count from 0, the file itself.
pub(crate) enum PartKind {
    Zero,
    Flat {
        source: u16,
        offset: u64,
    },
    Sparse {
        source: u16,
        /// `None` until the host attaches it.
        extent: Option<Box<Sparse>>,
    },
}
