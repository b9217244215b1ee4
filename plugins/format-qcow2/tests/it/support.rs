//! Blobs over files, whole maps, and whole disks.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use format_qcow2::Qcow2;
use imprint_plugin_sdk::{
    error::{Error, Result},
    format::{Extent, ExtentKind, Finding, Format, Image as _, Severity},
    host::Blob,
    mock::MemBlob,
    types::{ByteRange, Props},
};

pub(crate) type Opened = <Qcow2 as Format>::Image;

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
    Qcow2::open(Box::new(FileBlob(File::open(path).unwrap())), &Props::new()).unwrap()
}

pub(crate) fn open_bytes(bytes: &[u8]) -> Result<Opened> {
    Qcow2::open(Box::new(MemBlob::new(bytes)), &Props::new())
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
    let unit = usize::try_from(image.info().unwrap().unit).unwrap();
    let codec = image.codecs().remove(0);
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
            ExtentKind::Encoded => {
                let stored = &file[from..from + usize::try_from(extent.source_length).unwrap()];
                disk.extend_from_slice(&decode(&codec.name, stored, unit)[..length]);
            }
        }
    }
    disk
}

fn decode(codec: &str, stored: &[u8], unit: usize) -> Vec<u8> {
    let mut decoded = vec![0; unit];
    match codec {
        "deflate" => {
            let length = libdeflater::Decompressor::new().deflate_decompress(stored, &mut decoded).unwrap();
            assert_eq!(length, unit);
        }
        "zstd" => {
            let mut context = zstd_safe::DCtx::create();
            let mut input = zstd_safe::InBuffer::around(stored);
            let mut output = zstd_safe::OutBuffer::around(decoded.as_mut_slice());
            while output.pos() < unit {
                context.decompress_stream(&mut output, &mut input).unwrap();
            }
        }
        other => panic!("codec {other}"),
    }
    decoded
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

/// Errors and leaks.
pub(crate) fn count(findings: &[Finding]) -> (usize, usize) {
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    (of(Severity::Error), of(Severity::Leak))
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

/// What the host checks over the whole map: nothing that is stored lies in a table or in another extent. The last sector
/// of an encoded cluster may be shared.
pub(crate) fn aliased(image: &mut Opened) -> Result<bool> {
    let mut used: Vec<(u64, u64)> = all_ranges(image, 100)?
        .into_iter()
        .map(|range| (range.offset, range.offset + range.length))
        .collect();
    for extent in whole_map(image, 2048)? {
        match extent.kind {
            ExtentKind::Data => used.push((extent.source_offset, extent.source_offset + extent.length)),
            ExtentKind::Encoded => {
                let end = extent.source_offset + u64::from(extent.source_length);
                used.push((extent.source_offset, ((end - 1) / 512 * 512).max(extent.source_offset + 1)));
            }
            ExtentKind::Zero | ExtentKind::Hole => {}
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
