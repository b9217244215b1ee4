//! Images that QEMU's tools made, against what QEMU's tools read from them.

use imprint_plugin_sdk::format::{ExtentKind, Image as _};
use tempfile::TempDir;

use crate::{
    qemu,
    support::{Numbers, all_findings, assert_sound, disk, open_file, whole_disk, whole_map},
};

#[test]
fn what_qemu_creates_and_scribbles_on() {
    for (options, size) in [
        ("static=off", "33M"),
        ("static=off", "12583424"),
        ("static=off", "512"),
        ("static=on", "9M"),
        ("static=on", "9438208"),
    ] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("image.vdi");
        let name = path.to_str().unwrap();
        qemu::run("qemu-img", &["create", "-q", "-f", "vdi", "-o", options, name, size]);
        let virtual_size = qemu::info(&path)["virtual-size"].as_u64().unwrap();
        let mut numbers = Numbers::new(virtual_size);
        for _ in 0..20 {
            let first = numbers.below(virtual_size / 512) * 512;
            let length = (512 + numbers.below(3 << 20) / 512 * 512).min(virtual_size - first);
            let write = format!("write -q -P {} {first} {length}", 1 + numbers.below(250));
            qemu::run("qemu-io", &["-f", "vdi", "-c", &write, name]);
        }
        let mut image = open_file(&path).unwrap();
        let info = image.info().unwrap();
        assert_eq!((info.virtual_size, info.unit), (virtual_size, 1 << 20));
        let kind = if options == "static=on" { "fixed" } else { "dynamic" };
        assert_eq!(info.subformat.as_deref(), Some(kind));
        assert!(whole_disk(&mut image, &path) == qemu::disk(&path), "{options} {size}");
        assert_eq!(all_findings(&mut image, 10).unwrap(), []);
        assert_sound(&mut image, std::fs::metadata(&path).unwrap().len());
        assert_eq!(whole_map(&mut image, 1).unwrap().len(), whole_map(&mut image, 1000).unwrap().len());
    }
}

#[test]
fn what_convert_makes() {
    let dir = TempDir::new().unwrap();
    let (raw, path) = (dir.path().join("disk.raw"), dir.path().join("disk.vdi"));
    let bytes = disk((21 << 20) + 1536, 3);
    std::fs::write(&raw, &bytes).unwrap();
    for options in ["static=off", "static=on"] {
        let args = ["convert", "-f", "raw", "-O", "vdi", "-o", options];
        qemu::run("qemu-img", &[&args[..], &[raw.to_str().unwrap(), path.to_str().unwrap()]].concat());
        let mut image = open_file(&path).unwrap();
        assert!(whole_disk(&mut image, &path) == bytes, "{options}");
    }
}

#[test]
fn a_sparse_disk_is_one_hole() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("image.vdi");
    qemu::run("qemu-img", &["create", "-q", "-f", "vdi", path.to_str().unwrap(), "64G"]);
    let map = whole_map(&mut open_file(&path).unwrap(), 10).unwrap();
    assert_eq!(map.len(), 1);
    assert_eq!((map[0].kind, map[0].length), (ExtentKind::Hole, 64 << 30));
}
