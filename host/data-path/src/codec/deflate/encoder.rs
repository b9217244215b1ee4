//! What all encoders of deflate have in common.

/// What stands around the deflate stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapper {
    /// Nothing.
    None,
    /// The header and the Adler-32 of RFC 1950.
    Zlib,
    /// The header without a name, CRC-32 and length of RFC 1952.
    Gzip,
}

/// Encodes units, each a stream of its own.
pub(crate) trait DeflateEncoder: Send {
    /// Encodes a unit into `out`; `None` when it does not fit there.
    fn encode(&mut self, unit: &[u8], out: &mut [u8]) -> Option<usize>;
}
