//! CRC-32C (Castagnoli) of structures.

use crc::{CRC_32_ISCSI, Crc, Digest, Table};

static CRC_32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// A checksum that grows piece by piece.
#[derive(Clone)]
pub(crate) struct Crc32c(Digest<'static, u32, Table<16>>);

impl Crc32c {
    pub(crate) fn new() -> Self {
        Self(CRC_32C.digest())
    }

    /// Adds the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> u32 {
        self.0.finalize()
    }
}

/// The checksum of a structure whose own checksum field, at bytes 4 to 8, counts as zeroes.
pub(crate) fn of_structure(bytes: &[u8]) -> u32 {
    let mut crc = Crc32c::new();
    crc.update(bytes.get(..4).unwrap_or_default());
    crc.update(&[0; 4]);
    crc.update(bytes.get(8..).unwrap_or_default());
    crc.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_rfc_3720() {
        let of = |bytes: &[u8]| {
            let mut crc = Crc32c::new();
            crc.update(bytes);
            crc.finish()
        };
        assert_eq!(of(b"123456789"), 0xe306_9283);
        assert_eq!(of(&[0; 32]), 0x8a91_36aa);
        assert_eq!(of(&[0xff; 32]), 0x62a8_ab43);
        let pieces: Vec<u8> = (0..=255).collect();
        let mut crc = Crc32c::new();
        pieces.chunks(13).for_each(|piece| crc.update(piece));
        assert_eq!(crc.finish(), of(&pieces));
    }
}
