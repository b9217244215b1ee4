//! The header of a sparse member in the old GNU format.

/// Bytes of a tar block.
pub(crate) const BLOCK: usize = 512;
/// Sparse entries in the header itself, and in each block that follows it.
const FIRST: usize = 4;
const MORE: usize = 21;
/// Bytes of a number in a sparse entry.
const NUMBER: usize = 12;
/// What tar's own records are rounded up to.
const RECORD: u64 = 10240;

/// Blocks of a header that lists so many runs and the end of the member.
pub(crate) fn blocks(runs: usize) -> usize {
    1 + (runs + 1).saturating_sub(FIRST).div_ceil(MORE)
}

/// The header of `disk.raw`: `runs` (offset, length) in ascending order are in the archive, the
/// rest of `size` bytes is holes.
pub(crate) fn header(size: u64, runs: &[(u64, u64)]) -> Vec<u8> {
    let archived: u64 = runs.iter().map(|(_, length)| length).sum();
    let mut header = vec![0; BLOCK];
    put(&mut header, 0, b"disk.raw");
    put(&mut header, 100, b"0000644\0");
    put(&mut header, 108, b"0000000\0");
    put(&mut header, 116, b"0000000\0");
    put(&mut header, 124, &number(archived));
    put(&mut header, 136, b"00000000000\0");
    header[156] = b'S';
    put(&mut header, 257, b"ustar  \0");
    put(&mut header, 265, b"root");
    put(&mut header, 297, b"root");
    // An entry of no length at the end says where the member ends.
    let mut entries = runs.iter().copied().chain([(size, 0)]);
    put_entries(&mut header, 386, entries.by_ref().take(FIRST));
    put(&mut header, 483, &number(size));
    let mut left = (runs.len() + 1).saturating_sub(FIRST);
    header[482] = u8::from(left > 0);
    put(&mut header, 148, b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut header, 148, format!("{sum:06o}\0 ").as_bytes());
    while left > 0 {
        let mut block = vec![0; BLOCK];
        put_entries(&mut block, 0, entries.by_ref().take(MORE));
        left = left.saturating_sub(MORE);
        block[504] = u8::from(left > 0);
        header.extend(block);
    }
    header
}

/// What stands behind the last member: two empty blocks, and more up to a whole record.
pub(crate) fn trailer(header: usize, archived: u64) -> usize {
    let so_far = u64::try_from(header).expect("a header is small") + archived.next_multiple_of(512);
    let end = (so_far + 1024).next_multiple_of(RECORD);
    usize::try_from(end - archived - u64::try_from(header).expect("a header is small"))
        .expect("less than two records")
}

fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

fn put_entries(block: &mut [u8], at: usize, entries: impl Iterator<Item = (u64, u64)>) {
    for (index, (offset, length)) in entries.enumerate() {
        let at = at + index * 2 * NUMBER;
        put(block, at, &number(offset));
        put(block, at + NUMBER, &number(length));
    }
}

/// Eleven octal digits, or, from 8 GiB on, GNU's big-endian binary with the top bit of the field
/// set.
fn number(value: u64) -> [u8; NUMBER] {
    let mut field = [0; NUMBER];
    if value < 1 << 33 {
        // A disk may have half a million runs: without an allocation for each of their numbers.
        for (place, digit) in field.iter_mut().take(NUMBER - 1).rev().enumerate() {
            *digit = b'0' + u8::try_from(value >> (3 * place) & 7).expect("three bits");
        }
    } else {
        field[0] = 0x80;
        field[4..].copy_from_slice(&value.to_be_bytes());
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_the_blocks_that_were_planned() {
        for runs in [0, 1, 3, 4, 24, 25, 1000] {
            let list: Vec<_> = (0..u64::try_from(runs).unwrap()).map(|run| (run * 1024, 512)).collect();
            assert_eq!(header(1 << 30, &list).len(), blocks(runs) * BLOCK, "{runs}");
        }
    }

    #[test]
    fn large_numbers_are_binary() {
        assert_eq!(&number((1 << 33) - 1), b"77777777777\0");
        assert_eq!(number(1 << 33), [0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    }

    #[test]
    fn the_end_fills_a_record() {
        for (header, archived) in [(512, 0), (512, 512), (1024, 10240 - 1024), (512, 1 << 30)] {
            let end = trailer(header, archived);
            assert!(end >= 1024);
            assert_eq!((u64::try_from(header + end).unwrap() + archived) % RECORD, 0);
        }
    }
}
