//! The bytes of a disk, read by its map.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use imprint_plugin_sdk::format::{Extent, ExtentKind, Image};

use crate::whole_map;

/// The bytes of the disk of an image in memory; holes come from `parent`.
pub fn disk_in_bytes(image: &mut impl Image, file: &[u8], parent: &[u8]) -> Vec<u8> {
    read(image, parent, |_, at, target| copy(file, at, target))
}

/// The bytes of the disk of an image in a file; holes come from `parent`.
pub fn disk_in_file(image: &mut impl Image, path: &Path, parent: &[u8]) -> Vec<u8> {
    let file = File::open(path).unwrap();
    read(image, parent, |_, at, target| file.read_exact_at(target, at).unwrap())
}

/// The bytes of the disk of an image with several sources, `files` by their index; holes are
/// zeroes.
pub fn disk_in_files(image: &mut impl Image, files: &[Vec<u8>]) -> Vec<u8> {
    read(image, &[], |source, at, target| copy(&files[usize::from(source)], at, target))
}

fn copy(file: &[u8], at: u64, target: &mut [u8]) {
    let at = usize::try_from(at).unwrap();
    target.copy_from_slice(&file[at..at + target.len()]);
}

/// `fetch` fills its buffer from that source, from that offset on.
fn read(image: &mut impl Image, parent: &[u8], fetch: impl Fn(u16, u64, &mut [u8])) -> Vec<u8> {
    let info = image.info().unwrap();
    let unit = usize::try_from(info.unit).unwrap();
    let codecs = image.codecs();
    let mut disk = vec![0; usize::try_from(info.virtual_size).unwrap()];
    let inherited = parent.len().min(disk.len());
    disk[..inherited].copy_from_slice(&parent[..inherited]);
    for extent in whole_map(image, 2048).unwrap() {
        let Extent { source, source_offset, .. } = extent;
        let at = usize::try_from(extent.offset).unwrap();
        let target = &mut disk[at..at + usize::try_from(extent.length).unwrap()];
        match extent.kind {
            ExtentKind::Data => fetch(source, source_offset, target),
            ExtentKind::Zero => target.fill(0),
            ExtentKind::Hole => {}
            ExtentKind::Encoded => {
                let mut stored = vec![0; usize::try_from(extent.source_length).unwrap()];
                fetch(source, source_offset, &mut stored);
                let decoded = decode(&codecs[usize::from(extent.codec)].name, &stored, unit, target.len());
                target.copy_from_slice(&decoded[..target.len()]);
            }
        }
    }
    disk
}

/// One unit, of which `wanted` bytes lie on the disk.
fn decode(codec: &str, stored: &[u8], unit: usize, wanted: usize) -> Vec<u8> {
    let mut decoded = vec![0; unit];
    let mut decoder = libdeflater::Decompressor::new();
    match codec {
        "deflate" => assert_eq!(decoder.deflate_decompress(stored, &mut decoded).unwrap(), unit),
        "zlib" => {
            // A writer may leave out what lies behind the end of the disk.
            let length = decoder.zlib_decompress(stored, &mut decoded).unwrap();
            assert!(length == unit || length == wanted);
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
