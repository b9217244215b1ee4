//! Archives put together as the host does it, unpacked by GNU tar.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test that they help")]

use std::{
    io::Write,
    os::unix::fs::{FileExt, MetadataExt},
    process::Command,
};

use format_gce::Gce;
use imprint_plugin_sdk::{
    format::{CreateRequest, Format, Layout as _, Placed},
    types::{Props, props},
};
use proptest::prelude::*;

const UNIT: usize = 256 << 10;
const SIZE: u64 = 1 << 30;

fn request(size: u64, allocated: u64, options: Props) -> CreateRequest {
    CreateRequest {
        virtual_size: size,
        allocated,
        subformat: None,
        options,
        append_only: false,
        parent: None,
    }
}

/// Places these units as the host does, and answers the file.
fn archive(units: &[usize], page: u32) -> Vec<u8> {
    let allocated = u64::try_from(units.len() * UNIT).unwrap();
    let mut layout = Gce::begin_layout(&request(SIZE, allocated, props([("compress", "none")]))).unwrap();
    let rules = layout.rules();
    let mut file = vec![0; usize::try_from(rules.data_start).unwrap()];
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
    for unit in units {
        let mut encoded = vec![0; compressor.gzip_compress_bound(UNIT)];
        let length = compressor.gzip_compress(&content(*unit), &mut encoded).unwrap();
        let placed = Placed {
            offset: u64::try_from(unit * UNIT).unwrap(),
            length: u64::try_from(UNIT).unwrap(),
            file_offset: u64::try_from(file.len()).unwrap(),
            stored_length: u32::try_from(length).unwrap(),
        };
        file.extend(&encoded[..length]);
        layout.placed(&[placed]).unwrap();
    }
    let end = u64::try_from(file.len()).unwrap();
    let mut start = 0;
    loop {
        let page = layout.metadata(end, start, page).unwrap();
        for segment in page.segments {
            let at = usize::try_from(segment.file_offset).unwrap();
            file.resize(file.len().max(at + segment.bytes.len()), 0);
            file[at..at + segment.bytes.len()].copy_from_slice(&segment.bytes);
        }
        if page.done {
            assert_eq!(page.final_size, Some(u64::try_from(file.len()).unwrap()));
            return file;
        }
        assert!(page.resume > start);
        start = page.resume;
    }
}

fn content(unit: usize) -> Vec<u8> {
    (0..UNIT / 64).flat_map(|line| [u8::try_from((line + unit * 7) % 250 + 1).unwrap(); 64]).collect()
}

/// What GNU tar makes of it: these units, and nothing but holes.
fn assert_holds(archive: &[u8], units: &[usize]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.tar.gz");
    std::fs::File::create(&path).unwrap().write_all(archive).unwrap();
    let tar = Command::new("tar").arg("-xzf").arg(&path).arg("-C").arg(folder.path()).output().unwrap();
    assert!(tar.status.success() && tar.stderr.is_empty(), "{}", String::from_utf8_lossy(&tar.stderr));
    let disk = std::fs::File::open(folder.path().join("disk.raw")).unwrap();
    assert_eq!(disk.metadata().unwrap().len(), SIZE);
    let mut bytes = vec![0; UNIT];
    for unit in units {
        disk.read_exact_at(&mut bytes, u64::try_from(unit * UNIT).unwrap()).unwrap();
        assert!(bytes == content(*unit), "unit {unit}");
    }
    // A block of the file system more or less.
    let occupied = disk.metadata().unwrap().blocks() * 512;
    assert!(occupied <= u64::try_from(units.len() * UNIT + 65536).unwrap(), "{occupied} bytes are no holes");
}

#[test]
fn gnu_tar_unpacks_the_disk() {
    for (units, page) in [
        (vec![], 1 << 20),
        (vec![0], 512),
        (vec![4095], 1 << 20),
        ((0..4).collect(), 1000),
        ((0..90).map(|n| n * 2).collect(), 777),
    ] {
        assert_holds(&archive(&units, page), &units);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]
    #[test]
    fn any_map_comes_back(units in proptest::collection::btree_set(0_usize..4096, 0..60)) {
        let units: Vec<_> = units.into_iter().collect();
        assert_holds(&archive(&units, 1 << 20), &units);
    }
}

#[test]
fn what_compute_engine_would_not_take_is_refused() {
    let begin = |size, options| Gce::begin_layout(&request(size, 0, options)).map(drop);
    let error = begin(SIZE + 512, Props::new()).unwrap_err();
    assert_eq!(error.code, "invalid.request");
    assert!(error.message.contains("grow to 2 GiB"), "{}", error.message);
    assert_eq!(begin(0, Props::new()).unwrap_err().code, "invalid.request");
    assert_eq!(begin(SIZE, props([("compress", "zstd")])).unwrap_err().code, "unsupported.option");
    assert_eq!(begin(SIZE, props([("cluster-size", "1")])).unwrap_err().code, "unsupported.option");
    assert!(begin(SIZE, Props::new()).is_ok());
}
