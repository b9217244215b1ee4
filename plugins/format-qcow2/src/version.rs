//! The versions of the format.

/// The versions that this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// QEMU 0.10 and later: no feature bits, no zero clusters.
    V2,
    /// QEMU 1.1 and later.
    V3,
}

impl Version {
    /// As the header has it.
    pub fn number(self) -> u32 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}
