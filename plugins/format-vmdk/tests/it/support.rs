//! Blobs over files, whole maps, and whole disks.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use format_vmdk::Vmdk;
use imprint_plugin_sdk::{
    error::{Error, Result},
    format::{Extent, ExtentKind, Finding, Format, Image as _},
    host::Blob,
    mock::MemBlob,
    types::{ByteRange, Props},
};

pub(crate) type Opened = <Vmdk as Format>::Image;

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
        assert!(ranges.len() <= 1024, "{} ranges", ranges.len());
        assert!(ranges.iter().map(|range| range.length).sum::<u64>() <= 1 << 20, "more than 1 MiB");
        ranges.iter().map(|range| self.read_at(range.offset, u32::try_from(range.length).unwrap())).collect()
    }

    fn prefetch(&self, _ranges: &[ByteRange]) {}
}

pub(crate) fn open_file(path: &Path) -> Opened {
    Vmdk::open(Box::new(FileBlob(File::open(path).unwrap())), &Props::new()).unwrap()
}

pub(crate) fn blob(path: &Path) -> Box<dyn Blob> {
    Box::new(FileBlob(File::open(path).unwrap()))
}

pub(crate) fn open_bytes(bytes: &[u8]) -> Result<Opened> {
    Vmdk::open(Box::new(MemBlob::new(bytes)), &Props::new())
}

/// The whole map, page by page; what every page owes the host is asserted.
pub(crate) fn whole_map(image: &mut Opened, page_size: u32) -> Result<Vec<Extent>> {
    let end = image.info()?.virtual_size;
    let mut extents: Vec<Extent> = Vec::new();
    let mut at = 0;
    while at < end {
        let page = image.extents(at, end, page_size)?;
        assert!(!page.extents.is_empty() && page.extents.len() <= usize::try_from(page_size).unwrap());
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

/// The bytes of the disk, read by the map; `files` are the sources by their index.
pub(crate) fn whole_disk(image: &mut Opened, files: &[Vec<u8>]) -> Vec<u8> {
    let unit = usize::try_from(image.info().unwrap().unit).unwrap();
    let mut disk = Vec::new();
    for extent in whole_map(image, 2048).unwrap() {
        let length = usize::try_from(extent.length).unwrap();
        let from = usize::try_from(extent.source_offset).unwrap();
        let file = &files[usize::from(extent.source)];
        match extent.kind {
            ExtentKind::Zero | ExtentKind::Hole => disk.resize(disk.len() + length, 0),
            ExtentKind::Data => disk.extend_from_slice(&file[from..from + length]),
            ExtentKind::Encoded => {
                let stored = &file[from..from + usize::try_from(extent.source_length).unwrap()];
                let mut decoded = vec![0; unit];
                let decoder = &mut libdeflater::Decompressor::new();
                // A writer may leave out what lies behind the end of the disk.
                let decoded_length = decoder.zlib_decompress(stored, &mut decoded).unwrap();
                assert!(decoded_length == unit || decoded_length == length);
                disk.extend_from_slice(&decoded[..length]);
            }
        }
    }
    disk
}

/// Opens a descriptor, and gives it the files that it names from the folder that it is in.
pub(crate) fn open_with_extents(path: &Path) -> (Opened, Vec<Vec<u8>>) {
    let mut image = open_file(path);
    let mut files = vec![std::fs::read(path).unwrap()];
    for (index, source) in image.sources().unwrap().into_iter().enumerate().skip(1) {
        let part = path.with_file_name(&source.reference);
        let blob = self::blob(&part);
        image.attach(u16::try_from(index).unwrap(), blob).unwrap();
        files.push(std::fs::read(part).unwrap());
    }
    (image, files)
}

/// All findings, page by page.
pub(crate) fn all_findings(image: &mut Opened, page_size: u32) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut at = 0;
    loop {
        let page = image.check(at, page_size)?;
        assert!(page.items.len() <= usize::try_from(page_size).unwrap());
        findings.extend(page.items);
        if page.done {
            return Ok(findings);
        }
        assert!(page.resume > at, "the check got on");
        at = page.resume;
    }
}

/// All ranges of the image's tables, page by page.
pub(crate) fn all_ranges(image: &mut Opened, page_size: u32) -> Result<Vec<ByteRange>> {
    let mut ranges = Vec::new();
    loop {
        let page = image.metadata_ranges(u64::try_from(ranges.len()).unwrap(), page_size)?;
        if page.is_empty() {
            return Ok(ranges);
        }
        ranges.extend(page);
    }
}

/// What the host checks over the whole map: nothing that is stored lies in a table or in another extent.
pub(crate) fn aliased(image: &mut Opened) -> Result<bool> {
    let mut used: Vec<(u16, u64, u64)> = all_ranges(image, 100)?
        .into_iter()
        .map(|range| (0, range.offset, range.offset + range.length))
        .collect();
    for extent in whole_map(image, 2048)? {
        let length = match extent.kind {
            ExtentKind::Data => extent.length,
            ExtentKind::Encoded => u64::from(extent.source_length),
            ExtentKind::Zero | ExtentKind::Hole => continue,
        };
        used.push((extent.source, extent.source_offset, extent.source_offset + length));
    }
    used.sort_unstable();
    Ok(used.windows(2).any(|pair| pair[0].0 == pair[1].0 && pair[1].1 < pair[0].2))
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
