//! Compressed streams and checksums, made by hand so that each byte of them can be wrong.

/// Bits in the order of deflate: least significant first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn bit(&mut self, set: bool) {
        if self.used.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let (true, Some(last)) = (set, self.bytes.last_mut()) {
            *last |= 1 << (self.used % 8);
        }
        self.used += 1;
    }

    /// A number, least significant bit first.
    fn number(&mut self, value: u32, width: u32) {
        (0..width).for_each(|bit| self.bit(value >> bit & 1 == 1));
    }

    /// A Huffman code, most significant bit first.
    fn code(&mut self, code: u32, width: u32) {
        (0..width).rev().for_each(|bit| self.bit(code >> bit & 1 == 1));
    }
}

/// RFC 1951: `length` times one byte, in one block with fixed codes. `length` is at least 4.
pub fn deflate_run(byte: u8, length: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.bit(true);
    bits.number(1, 2);
    let literal = |bits: &mut Bits| match byte {
        0..144 => bits.code(0x30 + u32::from(byte), 8),
        144.. => bits.code(0x190 + u32::from(byte) - 144, 9),
    };
    literal(&mut bits);
    let mut rest = length - 1;
    while rest >= 258 {
        // Length 258 is code 285; distance 1 is code 0.
        bits.code(0xc0 + 285 - 280, 8);
        bits.code(0, 5);
        rest -= 258;
    }
    (0..rest).for_each(|_| literal(&mut bits));
    bits.code(0, 7);
    bits.bytes
}

/// RFC 1950 around [`deflate_run`].
pub fn zlib_run(byte: u8, length: usize) -> Vec<u8> {
    let mut adler = (1_u32, 0_u32);
    for _ in 0..length {
        adler.0 = (adler.0 + u32::from(byte)) % 65521;
        adler.1 = (adler.1 + adler.0) % 65521;
    }
    [&[0x78, 0x9c][..], &deflate_run(byte, length), &(adler.1 << 16 | adler.0).to_be_bytes()].concat()
}

/// RFC 8878: a frame of run-length blocks that decodes to `length` times one byte; its header says
/// `claimed`.
pub fn zstd_run(byte: u8, length: u32, claimed: u32) -> Vec<u8> {
    // Single segment, content size of 4 bytes.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    frame.extend(claimed.to_le_bytes());
    let mut rest = length;
    loop {
        let now = rest.min(128 << 10);
        rest -= now;
        let header = now << 3 | 1 << 1 | u32::from(rest == 0);
        frame.extend(&header.to_le_bytes()[..3]);
        frame.push(byte);
        if rest == 0 {
            return frame;
        }
    }
}

/// A zstd frame whose window has 2^(10 + `exponent`) bytes.
pub fn zstd_window(exponent: u8) -> Vec<u8> {
    vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, exponent << 3, 3, 0, 0, 0x5a]
}

/// A skippable zstd frame.
pub fn zstd_skippable(length: u32) -> Vec<u8> {
    let mut frame = vec![0x50, 0x2a, 0x4d, 0x18];
    frame.extend(length.to_le_bytes());
    frame.resize(frame.len() + usize::try_from(length).expect("a short frame"), 0);
    frame
}

/// CRC-32C (RFC 3720, appendix B.4).
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc(bytes, 0x82f6_3b78)
}

/// CRC-32 of gzip (RFC 1952).
pub fn crc32(bytes: &[u8]) -> u32 {
    crc(bytes, 0xedb8_8320)
}

fn crc(bytes: &[u8], polynomial: u32) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ polynomial } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_specifications() {
        assert_eq!((crc32c(b"123456789"), crc32(b"123456789")), (0xe306_9283, 0xcbf4_3926));
    }

    #[test]
    fn streams_are_short() {
        assert!(deflate_run(0, 65536).len() < 450 && zstd_run(1, 65536, 65536).len() == 13);
        assert_eq!(zlib_run(0, 4).len(), 2 + deflate_run(0, 4).len() + 4);
    }
}
