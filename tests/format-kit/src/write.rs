//! A host that places and writes by the rules of a layout.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use imprint_plugin_sdk::{
    error::Result,
    format::{CreateRequest, Format, Layout, Placed},
};

use crate::Numbers;

/// An empty file that can be read and written.
pub fn create(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).unwrap()
}

/// A disk with stretches of zeroes and of noise, in pieces of 64 KiB.
pub fn noise(size: u64, seed: u64) -> Vec<u8> {
    let mut numbers = Numbers::new(seed);
    let mut bytes = vec![0_u8; usize::try_from(size).unwrap()];
    for piece in bytes.chunks_mut(1 << 16) {
        if numbers.below(24) == 0 {
            piece.iter_mut().for_each(|byte| *byte = u8::try_from(numbers.below(256)).unwrap());
            piece[0] = 1;
        }
    }
    bytes
}

/// Writes a file of whole units that are stored as they are, one behind the other, and then the
/// tables by [`write_tables`]. Errors are the plugin's.
pub fn write_image<F: Format>(
    request: &CreateRequest,
    bytes: &[u8],
    path: &Path,
    page: u32,
    head: u64,
) -> Result<()> {
    let mut layout = F::begin_layout(request)?;
    let rules = layout.rules();
    assert!(rules.ascending && rules.skip_zero && !rules.identity && rules.align.is_power_of_two());
    let file = create(path);
    let unit = usize::try_from(rules.unit).unwrap();
    let mut end = rules.data_start;
    let mut runs = Vec::new();
    for (offset, piece) in (0..).step_by(unit).zip(bytes.chunks(unit)) {
        if piece.iter().all(|byte| *byte == 0) {
            continue;
        }
        file.write_all_at(piece, end).unwrap();
        runs.push(Placed { offset, length: rules.unit.into(), file_offset: end, stored_length: 0 });
        end += u64::from(rules.unit);
    }
    for runs in runs.chunks(100) {
        layout.placed(runs)?;
    }
    write_tables(&mut layout, &file, end, page, head);
    Ok(())
}

/// Writes the tables in pages of `page` bytes and cuts the file. What makes the file valid lies in
/// its first `head` bytes, and comes last.
pub fn write_tables(layout: &mut impl Layout, file: &File, end: u64, page: u32, head: u64) {
    let (mut start, mut head_written) = (0, false);
    loop {
        let tables = layout.metadata(end, start, page).unwrap();
        for segment in &tables.segments {
            assert!(!head_written || segment.file_offset < head, "nothing but the head follows the head");
            head_written |= segment.file_offset == 0;
            file.write_all_at(&segment.bytes, segment.file_offset).unwrap();
        }
        if tables.done {
            file.set_len(tables.final_size.unwrap()).unwrap();
            return;
        }
        assert!(tables.resume > start, "the tables got on");
        start = tables.resume;
    }
}
