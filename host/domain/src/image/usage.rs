//! What images take of the limits of accounts.

use crate::size::ByteSize;

/// What images take of the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageUsage {
    /// The number of images.
    pub images: u32,
    /// The bytes of their files; of those that are being created, the bytes that are reserved.
    pub bytes: ByteSize,
}

impl ImageUsage {
    /// Returns what both take together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            images: self.images.saturating_add(other.images),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}
