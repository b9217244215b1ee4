//! Blobs over files, whole maps, whole disks, and a host that places and writes by the rules.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use format_vhdx::Vhdx;
use imprint_plugin_sdk::{
    error::{Error, Result},
    format::{CreateRequest, Extent, ExtentKind, Finding, Format, Image as _, Layout as _, Placed},
    host::Blob,
    mock::MemBlob,
    types::{ByteRange, Props},
};

pub(crate) type Opened = <Vhdx as Format>::Image;
pub(crate) type Laid = <Vhdx as Format>::Layout;

/// A file, read as the host reads it.
pub(crate) struct FileBlob(File);

impl Blob for FileBlob {
    fn size(&self) -> u64 {
        self.0.metadata().unwrap().len()
    }

    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        assert!(length <= 1 << 20, "a read of {length} bytes");
        let length = u64::from(length).min(self.size().saturating_sub(offset));
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact_at(&mut bytes, offset).unwrap();
        Ok(bytes)
    }

    fn read_many(&self, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>> {
        ranges.iter().map(|range| self.read_at(range.offset, u32::try_from(range.length).unwrap())).collect()
    }

    fn prefetch(&self, _ranges: &[ByteRange]) {}
}

pub(crate) fn open_file(path: &Path) -> Result<Opened> {
    Vhdx::open(Box::new(FileBlob(File::open(path).unwrap())), &Props::new())
}

pub(crate) fn open_bytes(bytes: &[u8]) -> Result<Opened> {
    Vhdx::open(Box::new(MemBlob::new(bytes)), &Props::new())
}

/// The whole map, page by page; what every page owes the host is asserted.
pub(crate) fn whole_map(image: &mut Opened, page_size: u32) -> Result<Vec<Extent>> {
    let end = image.info()?.virtual_size;
    let mut extents: Vec<Extent> = Vec::new();
    let mut at = 0;
    while at < end {
        let page = image.extents(at, end, page_size)?;
        assert!(page.resume > at && page.extents.len() <= usize::try_from(page_size).unwrap());
        for extent in page.extents {
            assert_eq!(extent.offset, at);
            assert!(extent.length > 0);
            at += extent.length;
            extents.push(extent);
        }
        assert_eq!(page.resume, at);
        assert_eq!(page.done, at == end);
    }
    Ok(extents)
}

/// The bytes of the disk, read by the map; holes come from `parent`.
pub(crate) fn whole_disk(image: &mut Opened, path: &Path, parent: &[u8]) -> Vec<u8> {
    let file = File::open(path).unwrap();
    let mut disk = parent.to_vec();
    disk.resize(usize::try_from(image.info().unwrap().virtual_size).unwrap(), 0);
    for extent in whole_map(image, 100).unwrap() {
        let at = usize::try_from(extent.offset).unwrap();
        let target = &mut disk[at..at + usize::try_from(extent.length).unwrap()];
        match extent.kind {
            ExtentKind::Data => file.read_exact_at(target, extent.source_offset).unwrap(),
            ExtentKind::Zero => target.fill(0),
            ExtentKind::Hole => {}
            ExtentKind::Encoded => panic!("nothing is encoded"),
        }
    }
    disk
}

/// All findings, page by page.
pub(crate) fn all_findings(image: &mut Opened, page_size: u32) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut at = 0;
    loop {
        let page = image.check(at, page_size).unwrap();
        assert!(page.items.len() <= usize::try_from(page_size).unwrap());
        findings.extend(page.items);
        if page.done {
            return findings;
        }
        assert!(page.resume > at, "the check got on");
        at = page.resume;
    }
}

/// What the host checks over the whole map: nothing that is stored lies in a table, in another extent, or outside.
pub(crate) fn assert_sound(image: &mut Opened, file: u64) {
    let mut used: Vec<(u64, u64)> = image
        .metadata_ranges(0, 4096)
        .unwrap()
        .into_iter()
        .map(|range| (range.offset, range.offset + range.length))
        .collect();
    let map = whole_map(image, 2048).unwrap();
    let data = map.iter().filter(|extent| extent.kind == ExtentKind::Data);
    used.extend(data.map(|extent| (extent.source_offset, extent.source_offset + extent.length)));
    used.sort_unstable();
    assert!(used.windows(2).all(|pair| pair[0].1 <= pair[1].0), "two things share bytes: {used:?}");
    assert!(used.last().is_none_or(|last| last.1 <= file));
}

/// A disk with stretches of zeroes and of noise, in pieces of 64 KiB.
pub(crate) fn disk(size: u64, seed: u64) -> Vec<u8> {
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

/// Writes a file as the host does: stored units one behind the other, then the pages of tables.
pub(crate) fn write_image(request: &CreateRequest, bytes: &[u8], path: &Path, page: u32) -> Result<()> {
    let mut layout = Vhdx::begin_layout(request)?;
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
    finish(&mut layout, &file, end, page);
    Ok(())
}

/// Writes the tables and cuts the file.
pub(crate) fn finish(layout: &mut Laid, file: &File, end: u64, page: u32) {
    let (mut start, mut header_written) = (0, false);
    loop {
        let tables = layout.metadata(end, start, page).unwrap();
        for segment in &tables.segments {
            assert!(!header_written || segment.file_offset < 4096, "nothing but the mark follows the mark");
            header_written |= segment.file_offset == 0;
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

pub(crate) fn create(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).unwrap()
}

/// Numbers that look random and are the same every time.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// The code of a refusal.
pub(crate) fn code<T>(result: std::result::Result<T, Error>) -> String {
    match result {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.code,
    }
}
