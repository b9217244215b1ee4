//! A gzip member that holds bytes as they are and has exactly the length that was planned.

/// Member header with an extra field, without the extra field's data: RFC 1952, 2.3.
const HEADER: usize = 12;
/// CRC-32 and length at the end of a member.
const TRAILER: usize = 8;
/// Length of an empty stored block, and what every stored block has in front (RFC 1951, 3.2.4).
const BLOCK: usize = 5;
/// Longest stored block.
const MAX_BLOCK: usize = 65535;
/// The extra field: a subfield of two letters and a length, and up to so many bytes that make the
/// length come out right.
const EXTRA: usize = 4;

/// The shortest member that can hold so many bytes.
pub(crate) fn least(bytes: usize) -> usize {
    // The last block may be empty, and always is there.
    HEADER + EXTRA + bytes.div_ceil(MAX_BLOCK) * BLOCK + bytes + BLOCK + TRAILER
}

/// A member of exactly `length` bytes, which is at least [`least`].
///
/// What is left over is filled with empty stored blocks, which any decoder passes over, and up to
/// four bytes in the header.
pub(crate) fn member(bytes: &[u8], length: usize) -> Vec<u8> {
    let spare = length - least(bytes.len());
    let (empty, odd) = (spare / BLOCK, spare % BLOCK);
    let mut out = Vec::with_capacity(length);
    // ID, CM = deflate, FLG = FEXTRA, MTIME = none, XFL, OS = unknown.
    out.extend([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255]);
    out.extend(low16(EXTRA + odd).to_le_bytes());
    out.extend(*b"IM");
    out.extend(low16(odd).to_le_bytes());
    out.extend(std::iter::repeat_n(0, odd));
    for block in bytes.chunks(MAX_BLOCK) {
        stored(&mut out, block, false);
    }
    for _ in 0..empty {
        stored(&mut out, &[], false);
    }
    stored(&mut out, &[], true);
    out.extend(crc32fast::hash(bytes).to_le_bytes());
    // Modulo 2^32, says RFC 1952; these members are far smaller.
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out
}

fn stored(out: &mut Vec<u8>, block: &[u8], last: bool) {
    let length = low16(block.len());
    out.push(u8::from(last));
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(block);
}

fn low16(length: usize) -> u16 {
    u16::try_from(length).expect("blocks and extra fields have at most 65535 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_of_any_length_holds_its_bytes() {
        for size in [0, 1, 512, MAX_BLOCK, MAX_BLOCK + 1, 3 * MAX_BLOCK] {
            let bytes: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
            for spare in [0, 1, 4, 5, 6, 123, 100_000] {
                let member = member(&bytes, least(size) + spare);
                assert_eq!(member.len(), least(size) + spare);
                let mut out = vec![0; size];
                let length =
                    libdeflater::Decompressor::new().gzip_decompress(&member, &mut out).expect("it decodes");
                assert_eq!((length, out), (size, bytes.clone()));
            }
        }
    }
}
