//! Encoders of deflate (RFC 1951) and zlib (RFC 1950) behind one trait.
//!
//! The level alone selects the encoder: the same disk with the same options gives the same bytes.
//! Level 0 is ISA-L, which is twice as fast as libdeflate's level 1; where there is none (see
//! [`encoder()`]), level 0 is level 1.

mod encoder;
#[cfg(all(feature = "isal", target_arch = "x86_64"))]
mod isal;

use libdeflater::{CompressionLvl, Compressor};

pub(super) use encoder::{DeflateEncoder, Wrapper};

/// Returns the encoder for a level: 1 to 12 is libdeflate's scale (default 1, which compresses
/// better than QEMU's default does), 0 is the fastest encoder of this platform. `None` when the
/// level is out of range.
pub(super) fn encoder(wrapper: Wrapper, level: Option<i32>) -> Option<Box<dyn DeflateEncoder>> {
    #[cfg(all(feature = "isal", target_arch = "x86_64"))]
    if level == Some(0) {
        return Some(Box::new(isal::Isal::new(wrapper)));
    }
    let level = match level {
        None | Some(0) => 1,
        Some(level) => level,
    };
    let level = CompressionLvl::new(level).ok()?;
    Some(Box::new(Libdeflate { wrapper, compressor: Compressor::new(level) }))
}

/// libdeflate: 230 MB/s on a core at level 1; smaller output with higher levels.
struct Libdeflate {
    wrapper: Wrapper,
    compressor: Compressor,
}

impl DeflateEncoder for Libdeflate {
    fn encode(&mut self, unit: &[u8], out: &mut [u8]) -> Option<usize> {
        match self.wrapper {
            Wrapper::None => self.compressor.deflate_compress(unit, out).ok(),
            Wrapper::Zlib => self.compressor.zlib_compress(unit, out).ok(),
            Wrapper::Gzip => self.compressor.gzip_compress(unit, out).ok(),
        }
    }
}
