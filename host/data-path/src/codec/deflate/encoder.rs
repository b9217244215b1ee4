//! What all encoders of deflate have in common.

/// The container around a deflate stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapper {
    /// No container.
    None,
    /// The header and the Adler-32 of RFC 1950.
    Zlib,
    /// The header without a name, CRC-32 and length of RFC 1952.
    Gzip,
}

/// An encoder of units, each a stream of its own.
pub(crate) trait DeflateEncoder: Send {
    /// Encodes a unit into `out` and returns the encoded length; `None` when it does not fit.
    fn encode(&mut self, unit: &[u8], out: &mut [u8]) -> Option<usize>;
}
