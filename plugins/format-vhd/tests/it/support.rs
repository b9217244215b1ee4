//! Blobs over files, whole maps, and whole disks.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use format_vhd::Vhd;
use imprint_plugin_sdk::{
    error::{Error, Result},
    format::{Extent, ExtentKind, Finding, Format, Image as _, Severity},
    host::Blob,
    mock::MemBlob,
    types::{ByteRange, Props},
};

pub(crate) type Opened = <Vhd as Format>::Image;

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
    Vhd::open(Box::new(FileBlob(File::open(path).unwrap())), &Props::new()).unwrap()
}

pub(crate) fn open_bytes(bytes: &[u8]) -> Result<Opened> {
    open_with(bytes, &Props::new())
}

pub(crate) fn open_with(bytes: &[u8], options: &Props) -> Result<Opened> {
    Vhd::open(Box::new(MemBlob::new(bytes)), options)
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

/// The bytes of the disk, read by the map; holes come from `parent`.
pub(crate) fn whole_disk(image: &mut Opened, file: &[u8], parent: &[u8]) -> Vec<u8> {
    let mut disk = Vec::new();
    for extent in whole_map(image, 2048).unwrap() {
        let length = usize::try_from(extent.length).unwrap();
        let from = usize::try_from(extent.source_offset).unwrap();
        match extent.kind {
            ExtentKind::Zero => disk.resize(disk.len() + length, 0),
            ExtentKind::Hole => {
                let inherited = parent.get(disk.len()..).unwrap_or_default();
                let end = disk.len() + length;
                disk.extend_from_slice(&inherited[..inherited.len().min(length)]);
                disk.resize(end, 0);
            }
            ExtentKind::Data => disk.extend_from_slice(&file[from..from + length]),
            ExtentKind::Encoded => panic!("a VHD is never encoded"),
        }
    }
    disk
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

/// The codes of errors and leaks.
pub(crate) fn faults(findings: &[Finding]) -> Vec<String> {
    let bad = |finding: &&Finding| finding.severity != Severity::Note;
    findings.iter().filter(bad).map(|finding| finding.code.clone()).collect()
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
    let mut used: Vec<(u64, u64)> = all_ranges(image, 100)?
        .into_iter()
        .map(|range| (range.offset, range.offset + range.length))
        .collect();
    for extent in whole_map(image, 2048)? {
        if extent.kind == ExtentKind::Data {
            used.push((extent.source_offset, extent.source_offset + extent.length));
        }
    }
    used.sort_unstable();
    Ok(used.windows(2).any(|pair| pair[1].0 < pair[0].1))
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
