//! Images that QEMU's tools made, against what QEMU's tools read from them.

use std::{os::unix::fs::FileExt, path::Path};

use imprint_plugin_sdk::format::{ExtentKind, Image as _, Severity};
use tempfile::TempDir;

use crate::{
    qemu,
    support::{Numbers, all_findings, assert_sound, disk, open_file, whole_disk, whole_map},
};

/// QEMU does not tell where a VHDX image's bytes are, so the bytes themselves are compared.
fn assert_agrees(path: &Path, what: &str) {
    let mut image = open_file(path).unwrap();
    assert!(whole_disk(&mut image, path, &[]) == qemu::disk(path), "{what}: the disks differ");
    assert_sound(&mut image, std::fs::metadata(path).unwrap().len());
    let errors: Vec<_> = all_findings(&mut image, 10)
        .unwrap()
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect();
    assert_eq!(errors, [], "{what}");
}

fn scribble(path: &Path, size: u64) {
    let mut numbers = Numbers::new(size);
    for _ in 0..12 {
        let first = numbers.below(size / 512) * 512;
        let length = (512 + numbers.below(3 << 20) / 512 * 512).min(size - first);
        let write = format!("write -q -P {} {first} {length}", 1 + numbers.below(250));
        qemu::run("qemu-io", &["-f", "vhdx", "-c", &write, path.to_str().unwrap()]);
    }
}

#[test]
fn dynamic_images_of_every_block_size() {
    for bits in 20..=28 {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("image.vhdx");
        let options = format!("block_size={}", 1_u64 << bits);
        let size = (40 << 20) + 1536;
        qemu::run(
            "qemu-img",
            &["create", "-q", "-f", "vhdx", "-o", &options, path.to_str().unwrap(), &size.to_string()],
        );
        scribble(&path, size);
        let info = open_file(&path).unwrap().info().unwrap();
        assert_eq!(
            (info.virtual_size, info.unit, info.subformat.as_deref()),
            (size, 1 << bits, Some("dynamic"))
        );
        assert_agrees(&path, &options);
    }
}

#[test]
fn fixed_images_and_small_ones() {
    for (options, size) in [
        ("subformat=fixed", (9 << 20) + 512),
        ("subformat=fixed,block_size=1M,block_state_zero=off", 9 << 20),
        ("subformat=dynamic,log_size=3M", 512),
        ("subformat=dynamic,block_state_zero=off", 3 << 20),
    ] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("image.vhdx");
        qemu::run(
            "qemu-img",
            &["create", "-q", "-f", "vhdx", "-o", options, path.to_str().unwrap(), &size.to_string()],
        );
        scribble(&path, size);
        let info = open_file(&path).unwrap().info().unwrap();
        let kind = if options.starts_with("subformat=fixed") { "fixed" } else { "dynamic" };
        assert_eq!((info.virtual_size, info.subformat.as_deref()), (size, Some(kind)));
        assert_agrees(&path, options);
    }
}

#[test]
fn what_convert_makes() {
    let dir = TempDir::new().unwrap();
    let (raw, path) = (dir.path().join("disk.raw"), dir.path().join("disk.vhdx"));
    let bytes = disk((21 << 20) + 1536, 3);
    std::fs::write(&raw, &bytes).unwrap();
    for options in ["subformat=dynamic", "subformat=dynamic,block_size=1M", "subformat=fixed"] {
        let args = ["convert", "-f", "raw", "-O", "vhdx", "-o", options];
        qemu::run("qemu-img", &[&args[..], &[raw.to_str().unwrap(), path.to_str().unwrap()]].concat());
        let mut image = open_file(&path).unwrap();
        assert!(whole_disk(&mut image, &path, &[]) == bytes, "{options}");
        assert_agrees(&path, options);
    }
}

#[test]
fn a_sparse_disk_is_empty() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("image.vhdx");
    qemu::run(
        "qemu-img",
        &["create", "-q", "-f", "vhdx", "-o", "block_size=1M", path.to_str().unwrap(), "64G"],
    );
    let map = whole_map(&mut open_file(&path).unwrap(), 10).unwrap();
    assert!(map.iter().all(|extent| extent.kind != ExtentKind::Data));
    assert_eq!(map.iter().map(|extent| extent.length).sum::<u64>(), 64 << 30);
    let write = ["-f", "vhdx", "-c", "write -q -P 3 63G 4k", path.to_str().unwrap()];
    qemu::run("qemu-io", &write);
    let mut image = open_file(&path).unwrap();
    let map = whole_map(&mut image, 10).unwrap();
    let stored: Vec<_> = map.iter().filter(|extent| extent.kind == ExtentKind::Data).collect();
    assert_eq!(stored.len(), 1);
    let mut bytes = [0; 4097];
    std::fs::File::open(&path).unwrap().read_exact_at(&mut bytes, stored[0].source_offset).unwrap();
    assert_eq!((stored[0].offset, stored[0].length), (63 << 30, 1 << 20));
    assert!(bytes[..4096].iter().all(|byte| *byte == 3) && bytes[4096] == 0);
}
