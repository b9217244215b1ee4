//! Images that QEMU made, against what QEMU says about them.

use std::path::Path;

use imprint_plugin_sdk::format::{Extent, ExtentKind, Format, Image as _};
use tempfile::TempDir;

use crate::{
    qemu,
    support::{Numbers, aliased, all_findings, faults, open_file, whole_disk, whole_map},
};

const MIB: u64 = 1 << 20;

/// Writes here and there; sectors, blocks and more.
fn scribble(path: &Path, size: u64, seed: u64) {
    let mut numbers = Numbers::new(seed);
    let mut args = vec!["-f".to_owned(), "vpc".to_owned()];
    for _ in 0..40 {
        let offset = numbers.below(size / 512) * 512;
        let length = [512, 4096, 65536, 3 * MIB][usize::try_from(numbers.below(4)).unwrap()];
        let length = length.min(size - offset);
        args.extend(["-c".to_owned(), format!("write -q -P {} {offset} {length}", numbers.below(256))]);
    }
    args.push(path.to_str().unwrap().to_owned());
    qemu::run("qemu-io", &args);
}

/// What QEMU calls data is our data, at the same place of the file; what it calls zero is not.
fn assert_same_map(ours: &[Extent], path: &Path) {
    for line in qemu::map(path) {
        let end = line.start + line.length;
        for extent in ours.iter().filter(|ours| ours.offset < end && line.start < ours.offset + ours.length) {
            let data = extent.kind == ExtentKind::Data;
            assert_eq!(data, !line.zero, "{extent:?} {line:?}");
            if let (true, Some(offset)) = (data, line.offset) {
                let at = extent.offset.max(line.start);
                assert_eq!(extent.source_offset + (at - extent.offset), offset + (at - line.start));
            }
        }
    }
}

#[test]
fn what_qemu_creates_and_writes() {
    let dir = TempDir::new().unwrap();
    let (path, raw) = (dir.path().join("disk.vhd"), dir.path().join("disk.raw"));
    let name = path.to_str().unwrap();
    for (seed, size) in [(1, MIB), (2, 17 * MIB + 512), (3, 40 * MIB)] {
        for subformat in ["dynamic", "fixed"] {
            for force in ["on", "off"] {
                let options = format!("subformat={subformat},force_size={force}");
                qemu::run(
                    "qemu-img",
                    &["create", "-q", "-f", "vpc", "-o", &options, name, &size.to_string()],
                );
                scribble(&path, size, seed);
                let mut image = open_file(&path);
                let info = image.info().unwrap();
                assert_eq!(info.virtual_size, qemu::virtual_size(&path), "{options} {size}");
                assert_eq!(info.subformat.as_deref(), Some(subformat));
                assert_eq!(info.facts["creator"], if force == "on" { "qem2" } else { "qemu" });
                assert_eq!(info.facts["id"].len(), 36);
                if subformat == "dynamic" {
                    assert_same_map(&whole_map(&mut image, 100).unwrap(), &path);
                }
                assert!(!aliased(&mut image).unwrap());
                assert_eq!(faults(&all_findings(&mut image, 7).unwrap()), [""; 0], "{options} {size}");
                qemu::run("qemu-img", &["convert", "-f", "vpc", "-O", "raw", name, raw.to_str().unwrap()]);
                let disk = whole_disk(&mut image, &std::fs::read(&path).unwrap(), &[]);
                assert!(disk == std::fs::read(&raw).unwrap(), "{options} {size}");
            }
        }
    }
}

#[test]
fn pages_do_not_matter() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("disk.vhd");
    let size = 40 * MIB;
    qemu::run(
        "qemu-img",
        &["create", "-q", "-f", "vpc", "-o", "force_size=on", path.to_str().unwrap(), &size.to_string()],
    );
    scribble(&path, size, 9);
    let whole = whole_map(&mut open_file(&path), 2048).unwrap();
    let merged = |extents: Vec<Extent>| -> Vec<Extent> {
        let mut merged: Vec<Extent> = Vec::new();
        for extent in extents {
            match merged.last_mut() {
                Some(last)
                    if last.kind == extent.kind
                        && (extent.kind != ExtentKind::Data
                            || last.source_offset + last.length == extent.source_offset) =>
                {
                    last.length += extent.length;
                }
                _ => merged.push(extent),
            }
        }
        merged
    };
    for page in [1, 2, 7] {
        assert_eq!(merged(whole_map(&mut open_file(&path), page).unwrap()), merged(whole.clone()));
    }
    let mut image = open_file(&path);
    let part = image.extents(3 * MIB + 512, 9 * MIB, 100).unwrap();
    assert_eq!((part.extents[0].offset, part.resume, part.done), (3 * MIB + 512, 9 * MIB, true));
}

#[test]
fn files_are_recognised_by_their_ends() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("disk.vhd");
    for (subformat, confidence) in [("dynamic", 100), ("fixed", 95)] {
        let options = format!("subformat={subformat}");
        qemu::run("qemu-img", &["create", "-q", "-f", "vpc", "-o", &options, path.to_str().unwrap(), "1M"]);
        let bytes = std::fs::read(&path).unwrap();
        let probe = |bytes: &[u8]| {
            let tail = &bytes[bytes.len().saturating_sub(4096)..];
            format_vhd::Vhd::probe(
                &bytes[..bytes.len().min(65536)],
                tail,
                u64::try_from(bytes.len()).unwrap(),
            )
        };
        let guess = probe(&bytes).unwrap();
        assert_eq!((guess.confidence, guess.format.as_str()), (confidence, "vhd"));
        assert_eq!(guess.subformat.as_deref(), Some(subformat));
        assert_eq!(probe(&vec![0; 100_000]), None);
        assert_eq!(probe(b""), None);
        let mut damaged = bytes.clone();
        let end = damaged.len() - 500;
        damaged[12] ^= 1;
        damaged[end] ^= 1;
        assert_eq!(probe(&damaged).map(|guess| guess.confidence), Some(60));
    }
}
