//! Images that QEMU's tools made, against what QEMU's tools say about them.

use std::path::{Path, PathBuf};

use imprint_plugin_sdk::format::Image as _;
use tempfile::TempDir;

use crate::{
    qemu,
    support::{Numbers, aliased, all_findings, open_with_extents, whole_disk, whole_map},
};

/// A disk with stretches of zeroes, of text and of noise, in pieces of `piece` bytes.
fn disk(size: usize, piece: usize, seed: u64) -> Vec<u8> {
    let mut numbers = Numbers::new(seed);
    let mut bytes = vec![0_u8; size];
    for piece in bytes.chunks_mut(piece) {
        match numbers.below(4) {
            0 | 1 => {}
            2 => piece.iter_mut().zip(b"easily encoded ".iter().cycle()).for_each(|(to, from)| *to = *from),
            _ => piece.iter_mut().for_each(|byte| *byte = u8::try_from(numbers.below(256)).unwrap()),
        }
    }
    bytes
}

fn convert(dir: &Path, raw: &Path, options: &str, name: &str) -> PathBuf {
    let path = dir.join(name);
    let (from, to) = (raw.to_str().unwrap(), path.to_str().unwrap());
    qemu::run("qemu-img", &["convert", "-f", "raw", "-O", "vmdk", "-o", options, from, to]);
    path
}

fn assert_same(options: &str, size: usize, piece: usize, seed: u64) {
    let dir = TempDir::new().unwrap();
    let raw = dir.path().join("disk.raw");
    let bytes = disk(size, piece, seed);
    std::fs::write(&raw, &bytes).unwrap();
    let path = convert(dir.path(), &raw, options, "image.vmdk");
    let (mut image, files) = open_with_extents(&path);
    let info = image.info().unwrap();
    assert_eq!(info.virtual_size, u64::try_from(size).unwrap(), "{options}");
    assert_eq!(info.subformat.as_deref(), options.split(['=', ',']).nth(1), "{options}");
    assert!(whole_disk(&mut image, &files) == bytes, "{options} {size} {piece}");
    assert!(!aliased(&mut image).unwrap());
    assert_eq!(all_findings(&mut image, 3).unwrap(), vec![]);
    let small = whole_map(&mut image, 1).unwrap();
    assert!(whole_map(&mut image, 2048).unwrap() == small || small.len() >= 2, "pages of any size");
}

const SUBFORMATS: [&str; 5] = [
    "subformat=monolithicSparse",
    "subformat=streamOptimized",
    "subformat=monolithicFlat",
    "subformat=twoGbMaxExtentSparse",
    "subformat=twoGbMaxExtentFlat",
];

#[test]
fn every_subformat_at_every_size() {
    for options in SUBFORMATS {
        for (size, piece, seed) in
            [(512, 512, 3), (65536, 4096, 5), (65536 * 3 + 512, 65536, 7), ((40 << 20) + 1536, 65536, 9)]
        {
            assert_same(options, size, piece, seed);
        }
    }
}

#[test]
fn zeroed_grains() {
    for options in ["subformat=monolithicSparse,zeroed_grain=on", "subformat=streamOptimized,zeroed_grain=on"]
    {
        assert_same(options, 20 << 20, 65536, 11);
    }
}

#[test]
fn several_files_of_two_gigabytes() {
    for options in ["subformat=twoGbMaxExtentSparse", "subformat=twoGbMaxExtentFlat"] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("big.vmdk");
        let name = path.to_str().unwrap();
        qemu::run("qemu-img", &["create", "-q", "-f", "vmdk", "-o", options, name, "5G"]);
        let write = ["-c", "write -q -P 1 2047M 2M", "-c", "write -q -P 2 4097M 64k", "-f", "vmdk", name];
        qemu::run("qemu-io", &write);
        let mut image = crate::support::open_file(&path);
        let sources = image.sources().unwrap();
        assert_eq!(sources.iter().filter(|source| source.role == "extent").count(), 3);
        for (index, source) in sources.iter().enumerate().skip(1) {
            let blob = crate::support::blob(&path.with_file_name(&source.reference));
            image.attach(u16::try_from(index).unwrap(), blob).unwrap();
        }
        let stored: Vec<_> = whole_map(&mut image, 100)
            .unwrap()
            .into_iter()
            .filter(|extent| extent.kind == imprint_plugin_sdk::format::ExtentKind::Data)
            .map(|extent| (extent.source, extent.offset, extent.length))
            .collect();
        let expected = if options.ends_with("Flat") {
            vec![(1, 0, 2 << 30), (2, 2 << 30, 2 << 30), (3, 4 << 30, 1 << 30)]
        } else {
            vec![(1, 2047 << 20, 1 << 20), (2, 2 << 30, 1 << 20), (3, 4097 << 20, 65536)]
        };
        assert_eq!(stored, expected, "{options}");
        assert!(!aliased(&mut image).unwrap());
    }
}

#[test]
fn a_child_names_its_parent_and_both_their_identities() {
    let dir = TempDir::new().unwrap();
    let (base, child) = (dir.path().join("base.vmdk"), dir.path().join("child.vmdk"));
    qemu::run("qemu-img", &["create", "-q", "-f", "vmdk", base.to_str().unwrap(), "10M"]);
    let args =
        ["create", "-q", "-f", "vmdk", "-b", base.to_str().unwrap(), "-F", "vmdk", child.to_str().unwrap()];
    qemu::run("qemu-img", &args);
    let parent = crate::support::open_file(&base).info().unwrap();
    let mut image = crate::support::open_file(&child);
    let info = image.info().unwrap();
    assert_eq!(info.facts["parent-id"], parent.facts["id"]);
    assert_eq!(parent.facts.get("parent-id"), None);
    let sources = image.sources().unwrap();
    assert_eq!((sources[1].role.as_str(), sources[1].reference.as_str()), ("parent", base.to_str().unwrap()));
}
