//! Images that QEMU's tools made, against what QEMU's tools say about them.

use std::path::{Path, PathBuf};

use imprint_plugin_sdk::format::{Extent, ExtentKind, Image as _};
use tempfile::TempDir;

use crate::{
    qemu,
    support::{Numbers, aliased, all_findings, all_ranges, count, open_file, whole_disk, whole_map},
};

const SIZE: u64 = (12 << 20) + 1536;

/// What an image is made with.
struct Recipe {
    options: String,
    cluster: u64,
    compressed_writes: bool,
    snapshots: u32,
    parent: bool,
}

fn recipe(options: &str, cluster: u64) -> Recipe {
    let options = format!("cluster_size={cluster},{options}");
    Recipe { options, cluster, compressed_writes: true, snapshots: 0, parent: false }
}

/// Creates an image and scribbles on it.
fn make(dir: &TempDir, recipe: &Recipe, seed: u64) -> PathBuf {
    let path = dir.path().join("image.qcow2");
    let name = path.to_str().unwrap();
    let parent = dir.path().join("parent.raw");
    let size = SIZE.to_string();
    let mut create = vec!["create", "-q", "-f", "qcow2", "-o", &recipe.options];
    if recipe.parent {
        let bytes: Vec<u8> = (0..SIZE / 2).map(|at| u8::try_from(at / 777 % 251).unwrap()).collect();
        std::fs::write(&parent, bytes).unwrap();
        create.extend(["-b", parent.to_str().unwrap(), "-F", "raw"]);
    }
    create.extend([name, &size]);
    qemu::run("qemu-img", &create);
    let mut numbers = Numbers::new(seed);
    for round in 0..=recipe.snapshots {
        if round > 0 {
            qemu::run("qemu-img", &["snapshot", "-c", &format!("s{round}"), name]);
        }
        let commands = scribbles(recipe, &mut numbers);
        let mut args = vec!["-f", "qcow2"];
        commands.iter().for_each(|command| args.extend(["-c", command]));
        args.push(name);
        // Writing encoded over what is allocated already fails, and that is fine.
        qemu::run_any("qemu-io", &args);
    }
    path
}

fn scribbles(recipe: &Recipe, numbers: &mut Numbers) -> Vec<String> {
    let clusters = SIZE / recipe.cluster;
    let step = clusters.div_ceil(64);
    let mut commands = Vec::new();
    for _ in 0..60 {
        let first = numbers.below(clusters) * recipe.cluster;
        let length = (1 + numbers.below(step)) * recipe.cluster;
        let length = length.min(SIZE - first) / 512 * 512;
        let pattern = 1 + numbers.below(250);
        commands.push(match numbers.below(if recipe.compressed_writes { 7 } else { 5 }) {
            0 => format!("write -q -P {pattern} {first} {length}"),
            1 => format!("write -q -P {pattern} {} 512", first + numbers.below(recipe.cluster / 512) * 512),
            2 => format!("write -q -z {first} {length}"),
            3 => format!("write -q -z -u {first} {length}"),
            4 => format!("discard -q {first} {length}"),
            _ => format!("write -q -c -P {pattern} {first} {}", recipe.cluster.min(SIZE - first)),
        });
    }
    commands
}

/// Whether our extent and QEMU's lines say the same of one stretch of the disk.
fn assert_same_map(ours: &[Extent], path: &Path) {
    let theirs = qemu::map(path);
    let mut lines = theirs.iter();
    let mut line = lines.next().unwrap();
    for extent in ours {
        let mut at = extent.offset;
        let end = extent.offset + extent.length;
        while at < end {
            while line.start + line.length <= at {
                line = lines.next().expect("the map of qemu-img is as long");
            }
            let own = line.present && line.depth == 0;
            let into = at - line.start;
            match extent.kind {
                ExtentKind::Hole => assert!(!own, "{extent:?} {line:?}"),
                ExtentKind::Zero => assert!(own && line.zero, "{extent:?} {line:?}"),
                ExtentKind::Encoded => assert!(own && line.compressed, "{extent:?} {line:?}"),
                ExtentKind::Data => {
                    assert!(own && !line.compressed, "{extent:?} {line:?}");
                    let offset = line.offset.map(|offset| offset + into);
                    assert_eq!(
                        offset,
                        Some(extent.source_offset + (at - extent.offset)),
                        "{extent:?} {line:?}"
                    );
                }
            }
            at = end.min(line.start + line.length);
        }
    }
}

fn assert_agrees(dir: &TempDir, recipe: &Recipe, seed: u64) {
    let path = make(dir, recipe, seed);
    let mut image = open_file(&path);
    assert_eq!(image.info().unwrap().virtual_size, SIZE, "{}", recipe.options);
    let map = whole_map(&mut image, 7).unwrap();
    assert_eq!(
        map_shape(&whole_map(&mut open_file(&path), 2048).unwrap()),
        map_shape(&map),
        "pages do not matter"
    );
    assert_same_map(&map, &path);
    assert!(!aliased(&mut image).unwrap());
    let raw = dir.path().join("disk.raw");
    qemu::run(
        "qemu-img",
        &["convert", "-f", "qcow2", "-O", "raw", path.to_str().unwrap(), raw.to_str().unwrap()],
    );
    let parent =
        if recipe.parent { std::fs::read(dir.path().join("parent.raw")).unwrap() } else { Vec::new() };
    let disk = whole_disk(&mut image, &std::fs::read(&path).unwrap(), &parent);
    assert!(disk == std::fs::read(&raw).unwrap(), "{}: the disks differ", recipe.options);
    let findings = all_findings(&mut image, 3).unwrap();
    let checked = qemu::check(&path);
    assert_eq!(count(&findings), (checked.corruptions, checked.leaks), "{}: {findings:?}", recipe.options);
}

/// Pages may cut an extent in two.
fn map_shape(map: &[Extent]) -> Vec<(u64, ExtentKind, u64)> {
    let mut shape: Vec<(u64, ExtentKind, u64)> = Vec::new();
    let mut last: Option<&Extent> = None;
    for extent in map {
        let joins = last.is_some_and(|last| match extent.kind {
            ExtentKind::Data => {
                last.kind == ExtentKind::Data && last.source_offset + last.length == extent.source_offset
            }
            ExtentKind::Zero | ExtentKind::Hole => last.kind == extent.kind,
            ExtentKind::Encoded => false,
        });
        if !joins {
            shape.push((extent.offset, extent.kind, extent.source_offset));
        }
        last = Some(extent);
    }
    shape
}

#[test]
fn version_3_at_every_cluster_size() {
    for bits in 9..=21 {
        let dir = TempDir::new().unwrap();
        assert_agrees(&dir, &recipe("compat=1.1", 1 << bits), bits);
    }
}

#[test]
fn version_2_at_every_cluster_size() {
    for bits in 9..=21 {
        let dir = TempDir::new().unwrap();
        assert_agrees(&dir, &recipe("compat=0.10", 1 << bits), bits);
    }
}

#[test]
fn zstd_at_every_cluster_size() {
    for bits in 9..=21 {
        let dir = TempDir::new().unwrap();
        assert_agrees(&dir, &recipe("compression_type=zstd", 1 << bits), bits);
    }
}

#[test]
fn subclusters_at_every_cluster_size() {
    for bits in 14..=21 {
        let dir = TempDir::new().unwrap();
        let recipe = recipe("extended_l2=on,compression_type=zstd", 1 << bits);
        assert_agrees(&dir, &recipe, bits);
        let facts = open_file(&dir.path().join("image.qcow2")).info().unwrap().facts;
        assert_eq!(facts.get("extended-l2").map(String::as_str), Some("true"));
        assert_eq!(facts.get("compression").map(String::as_str), Some("zstd"));
    }
}

#[test]
fn refcounts_of_every_width() {
    for bits in [1, 2, 4, 8, 16, 32, 64] {
        let dir = TempDir::new().unwrap();
        let mut recipe = recipe(&format!("refcount_bits={bits}"), 4096);
        recipe.compressed_writes = bits >= 16;
        assert_agrees(&dir, &recipe, bits);
        let facts = open_file(&dir.path().join("image.qcow2")).info().unwrap().facts;
        assert_eq!(facts["refcount-bits"], bits.to_string());
    }
}

#[test]
fn snapshots_are_a_fact_and_do_not_disturb() {
    for (options, cluster) in [("compat=0.10", 65536), ("compat=1.1", 4096), ("extended_l2=on", 16384)] {
        let dir = TempDir::new().unwrap();
        let mut recipe = recipe(options, cluster);
        recipe.snapshots = 3;
        assert_agrees(&dir, &recipe, 7);
        let info = open_file(&dir.path().join("image.qcow2")).info().unwrap();
        assert_eq!(info.facts["internal-snapshots"], "3");
        for number in 1..=3 {
            let words = &info.facts[&format!("snapshot-0{number}")];
            assert!(words.starts_with(&format!("'s{number}', id {number}, taken 20")), "{words}");
            assert!(words.ends_with(&format!("Z, disk of {SIZE} bytes")), "{words}");
        }
    }
}

#[test]
fn a_snapshot_table_may_end_with_the_file() {
    // The last entry is not padded, and nothing was written after it.
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("image.qcow2");
    let name = path.to_str().unwrap();
    qemu::run("qemu-img", &["create", "-q", "-f", "qcow2", name, "1G"]);
    for snapshot in ["s", "before the upgrade", "three"] {
        qemu::run("qemu-img", &["snapshot", "-c", snapshot, name]);
        let mut image = open_file(&path);
        let last = image.info().unwrap().facts.into_iter().rfind(|(key, _)| key.starts_with("snapshot-"));
        assert!(last.unwrap().1.starts_with(&format!("'{snapshot}', id ")));
        let size = std::fs::metadata(&path).unwrap().len();
        assert!(all_ranges(&mut image, 100).unwrap().iter().all(|range| range.offset + range.length <= size));
        assert_eq!(count(&all_findings(&mut image, 100).unwrap()), (0, 0));
    }
}

#[test]
fn a_parent_is_named_and_holes_stay_holes() {
    for (options, cluster) in [("compat=0.10", 65536), ("compat=1.1", 65536), ("extended_l2=on", 65536)] {
        let dir = TempDir::new().unwrap();
        let mut recipe = recipe(options, cluster);
        recipe.parent = true;
        assert_agrees(&dir, &recipe, 11);
        let mut image = open_file(&dir.path().join("image.qcow2"));
        let sources = image.sources().unwrap();
        assert_eq!(sources.len(), 2);
        assert_eq!((sources[0].role.as_str(), sources[1].role.as_str()), ("primary", "parent"));
        assert_eq!(sources[1].reference, dir.path().join("parent.raw").to_str().unwrap());
        assert_eq!(sources[1].format_hint.as_deref(), Some("raw"));
        assert!(sources[1].required);
        assert_eq!(image.info().unwrap().facts["has-parent"], "true");
    }
}

#[test]
fn bitmaps_are_counted_as_used() {
    let dir = TempDir::new().unwrap();
    let path = make(&dir, &recipe("compat=1.1", 65536), 3);
    let name = path.to_str().unwrap();
    qemu::run("qemu-img", &["bitmap", "--add", "-g", "65536", name, "b0"]);
    qemu::run("qemu-io", &["-f", "qcow2", "-c", "write -q -P 9 0 1M", name]);
    let mut image = open_file(&path);
    assert_eq!(image.info().unwrap().facts["bitmaps"], "1");
    let findings = all_findings(&mut image, 10).unwrap();
    let checked = qemu::check(&path);
    assert_eq!(count(&findings), (checked.corruptions, checked.leaks), "{findings:?}");
    assert!(!aliased(&mut image).unwrap());
}

#[test]
fn a_dirty_image_is_read_and_says_so() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("dirty.qcow2");
    let name = path.to_str().unwrap();
    qemu::run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", "lazy_refcounts=on", name, "8M"]);
    let crashed = qemu::run_any(
        "qemu-io",
        &["-f", "qcow2", "-c", "write -q -P 7 0 1M", "-c", "flush", "-c", "abort", name],
    );
    assert!(!crashed.status.success());
    let mut image = open_file(&path);
    let info = image.info().unwrap();
    assert_eq!((info.facts["dirty"].as_str(), info.facts["lazy-refcounts"].as_str()), ("true", "true"));
    let disk = whole_disk(&mut image, &std::fs::read(&path).unwrap(), &[]);
    assert!(disk[..1 << 20].iter().all(|byte| *byte == 7));
    assert!(disk[1 << 20..].iter().all(|byte| *byte == 0));
    let findings = all_findings(&mut image, 5).unwrap();
    assert!(findings.iter().any(|finding| finding.code == "qcow2.dirty"));
    let checked = qemu::check(&path);
    assert_eq!(count(&findings), (checked.corruptions, checked.leaks));
    assert!(checked.corruptions > 0, "the refcounts are behind");
}

#[test]
fn an_encrypted_image_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("secret.qcow2");
    let args = [
        "create",
        "-q",
        "-f",
        "qcow2",
        "--object",
        "secret,id=s,data=x",
        "-o",
        "encrypt.format=luks,encrypt.key-secret=s",
    ];
    let mut args = args.to_vec();
    args.extend([path.to_str().unwrap(), "1M"]);
    qemu::run("qemu-img", &args);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(crate::support::code(crate::support::open_bytes(&bytes)), "unsupported.encrypted");
}

#[test]
fn a_huge_empty_disk_is_mapped_at_once() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("huge.qcow2");
    let name = path.to_str().unwrap();
    qemu::run("qemu-img", &["create", "-q", "-f", "qcow2", name, "16T"]);
    qemu::run("qemu-io", &["-f", "qcow2", "-c", "write -q -P 1 9T 64k", "-c", "write -q -P 2 3T 64k", name]);
    let mut image = open_file(&path);
    let page = image.extents(0, 16 << 40, 100).unwrap();
    let shape: Vec<_> = page.extents.iter().map(|extent| (extent.offset, extent.kind)).collect();
    let (three, nine, cluster) = (3 << 40, 9 << 40, 65536);
    let expected = [
        (0, ExtentKind::Hole),
        (three, ExtentKind::Data),
        (three + cluster, ExtentKind::Hole),
        (nine, ExtentKind::Data),
        (nine + cluster, ExtentKind::Hole),
    ];
    assert_eq!(shape, expected);
    assert!(page.done);
}

#[test]
fn a_part_of_the_map_may_be_asked_for() {
    let dir = TempDir::new().unwrap();
    let path = make(&dir, &recipe("extended_l2=on", 65536), 5);
    let mut image = open_file(&path);
    let whole = whole_map(&mut image, 2048).unwrap();
    for extent in whole.iter().filter(|extent| extent.kind != ExtentKind::Encoded && extent.length > 1024) {
        let (start, end) = (extent.offset + 512, extent.offset + extent.length - 512);
        let page = image.extents(start, end, 10).unwrap();
        assert_eq!(page.extents.len(), 1);
        assert_eq!((page.extents[0].offset, page.extents[0].length, page.done), (start, end - start, true));
        if extent.kind == ExtentKind::Data {
            assert_eq!(page.extents[0].source_offset, extent.source_offset + 512);
        }
    }
    let encoded = whole.iter().find(|extent| extent.kind == ExtentKind::Encoded).unwrap();
    assert_eq!(crate::support::code(image.extents(encoded.offset + 512, SIZE, 10)), "invalid.request");
    assert_eq!(
        crate::support::code(image.extents(encoded.offset, encoded.offset + 512, 10)),
        "invalid.request"
    );
}

#[test]
fn what_convert_amend_and_resize_make() {
    let dir = TempDir::new().unwrap();
    let raw = dir.path().join("source.raw");
    let mut bytes = vec![0_u8; usize::try_from(SIZE).unwrap()];
    let mut numbers = Numbers::new(9);
    for piece in bytes.chunks_mut(4096) {
        let byte = u8::try_from(numbers.below(3) * 17).unwrap();
        piece.fill(byte);
    }
    *bytes.last_mut().unwrap() = 1;
    std::fs::write(&raw, &bytes).unwrap();
    let image = dir.path().join("converted.qcow2");
    let (raw, name) = (raw.to_str().unwrap(), image.to_str().unwrap());
    let verify = |what: &str| {
        let mut opened = open_file(&image);
        let map = whole_map(&mut opened, 100).unwrap();
        assert_same_map(&map, &image);
        assert!(!aliased(&mut opened).unwrap(), "{what}");
        let disk = whole_disk(&mut opened, &std::fs::read(&image).unwrap(), &[]);
        assert!(disk[..bytes.len()] == bytes && disk[bytes.len()..].iter().all(|byte| *byte == 0), "{what}");
        let checked = qemu::check(&image);
        assert_eq!(
            count(&all_findings(&mut opened, 50).unwrap()),
            (checked.corruptions, checked.leaks),
            "{what}"
        );
    };
    let cases: [(&str, &[&str]); 9] = [
        ("preallocation=off", &["-W", "-m", "16"]),
        ("preallocation=off", &["-S", "0"]),
        ("preallocation=off", &["-c"]),
        ("preallocation=metadata", &[]),
        ("preallocation=falloc", &[]),
        ("preallocation=full", &[]),
        ("cluster_size=2M", &[]),
        ("cluster_size=2M", &["-c", "-m", "16", "-W"]),
        ("cluster_size=512", &["-c"]),
    ];
    for (options, flags) in cases {
        let args = [&["convert", "-f", "raw", "-O", "qcow2", "-o", options], flags, &[raw, name]].concat();
        qemu::run("qemu-img", &args);
        verify(&format!("{options} {flags:?}"));
    }
    qemu::run("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", raw, name]);
    qemu::run("qemu-img", &["amend", "-f", "qcow2", "-o", "compat=0.10", name]);
    verify("amended to version 2");
    qemu::run("qemu-img", &["amend", "-f", "qcow2", "-o", "compat=1.1,refcount_bits=64", name]);
    verify("amended to wide refcounts");
    qemu::run("qemu-img", &["resize", "-q", "-f", "qcow2", name, "64M"]);
    verify("grown");
}
