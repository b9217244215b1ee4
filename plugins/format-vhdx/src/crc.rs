//! CRC-32C (Castagnoli), eight bytes at a time: the polynomial 0x1EDC6F41, reflected; start and end
//! inverted.

const POLYNOMIAL: u32 = 0x82f6_3b78;

/// For each byte value and each of eight distances to the end of the bytes taken at once.
static TABLES: [[u32; 256]; 8] = tables();

#[expect(clippy::as_conversions, reason = "the numbers are below 256, and a constant cannot call try_from")]
const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut distance = 1;
    while distance < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[distance - 1][byte];
            tables[distance][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        distance += 1;
    }
    tables
}

/// A checksum that grows piece by piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crc32c(u32);

impl Crc32c {
    pub(crate) fn new() -> Self {
        Self(u32::MAX)
    }

    /// Adds the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            let mixed = (u64::from_le_bytes(*word) ^ u64::from(self.0)).to_le_bytes();
            let parts = mixed.iter().zip(TABLES.iter().rev());
            self.0 = parts.fold(0, |sum, (byte, table)| sum ^ table[usize::from(*byte)]);
        }
        for byte in rest {
            let [low, ..] = self.0.to_le_bytes();
            self.0 = self.0 >> 8 ^ TABLES[0][usize::from(low ^ byte)];
        }
    }

    pub(crate) fn finish(self) -> u32 {
        !self.0
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
