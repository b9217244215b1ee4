//! Tables and headers as one stream of bytes that is handed out in pages.

use std::ops::Range;

use super::shapes::{MetadataPage, Segment};
use crate::{
    error::{Error, Result},
    types::ByteRange,
};

/// The most of a page, whatever is asked for.
const MAX_PAGE: u32 = 1 << 20;
/// Pages are whole words of this many bytes, so that no table entry is ever cut.
const WORD: u64 = 8;
const MIN_PAGE: u32 = 512;

/// A page of the parts of a file, which are written in the order given: what makes the file valid
/// comes last.
///
/// `start` is 0 or the `resume` of the page before; `bytes` makes a piece of a part, given its
/// index and a range within it. The lengths of all parts are multiples of 8.
pub fn page_of_parts(
    parts: &[ByteRange],
    start: u64,
    max_bytes: u32,
    final_size: u64,
    mut bytes: impl FnMut(usize, Range<u64>) -> Result<Vec<u8>>,
) -> Result<MetadataPage> {
    if max_bytes < MIN_PAGE {
        let text = format!("a page of {max_bytes} bytes; at least {MIN_PAGE} are needed");
        return Err(Error::invalid_input("invalid.request", text));
    }
    if !start.is_multiple_of(WORD) {
        let text = "the tables cannot continue from there; start again from 0";
        return Err(Error::invalid_input("invalid.request", text));
    }
    let mut room = u64::from(max_bytes.min(MAX_PAGE)) / WORD * WORD;
    let mut segments = Vec::new();
    let (mut resume, mut part_start) = (start, 0);
    for (index, part) in parts.iter().enumerate() {
        let part_end = part_start + part.length;
        if resume < part_end && room > 0 {
            let from = resume - part_start;
            let range = from..part.length.min(from + room);
            room -= range.end - range.start;
            resume = part_start + range.end;
            segments.push(Segment { file_offset: part.offset + from, bytes: bytes(index, range)? });
        }
        part_start = part_end;
    }
    let done = resume >= part_start;
    Ok(MetadataPage { segments, resume, done, final_size: done.then_some(final_size) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_any_size_put_together_are_the_parts_in_order() {
        let parts = [
            ByteRange { offset: 5000, length: 2000 },
            ByteRange { offset: 0, length: 0 },
            ByteRange { offset: 100, length: 1024 },
        ];
        for max in [512, 519, 1000, 4096] {
            let (mut start, mut written) = (0, Vec::new());
            loop {
                let make = |index: usize, range: Range<u64>| {
                    Ok(range
                        .map(|at| u8::try_from((at + 7 * u64::try_from(index).unwrap()) % 251).unwrap())
                        .collect())
                };
                let page = page_of_parts(&parts, start, max, 77, make).unwrap();
                let length: usize = page.segments.iter().map(|segment| segment.bytes.len()).sum();
                assert!(length <= usize::try_from(max).unwrap());
                for segment in page.segments {
                    written.extend((segment.file_offset..).zip(segment.bytes));
                }
                if page.done {
                    assert_eq!(page.final_size, Some(77));
                    break;
                }
                assert!(page.resume > start && page.final_size.is_none());
                start = page.resume;
            }
            let first = (0..2000_u64).map(|at| (5000 + at, u8::try_from(at % 251).unwrap()));
            let last = (0..1024_u64).map(|at| (100 + at, u8::try_from((at + 14) % 251).unwrap()));
            assert_eq!(written, first.chain(last).collect::<Vec<_>>());
        }
    }

    #[test]
    fn pages_that_cannot_be_are_refused() {
        let page = |start, max| page_of_parts(&[], start, max, 0, |_, _| Ok(Vec::new()));
        assert_eq!(page(0, 511).unwrap_err().code, "invalid.request");
        assert_eq!(page(3, 512).unwrap_err().code, "invalid.request");
        assert!(page(0, 512).unwrap().done);
    }
}
