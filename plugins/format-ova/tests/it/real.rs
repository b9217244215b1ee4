//! Archives as other programs make them.

use std::process::Command;

use format_ova::Ova;
use imprint_plugin_sdk::{
    format::{ExtentKind, Format, Image as _},
    mock::MemBlob,
    types::{Props, props},
};
use tempfile::TempDir;

use crate::forge::{STREAM, Tar, good, one_disk, ovf};

#[test]
fn the_disk_is_one_piece_of_the_file() {
    let bytes = good(&[7; 1000]).end();
    let mut image = Ova::open(Box::new(MemBlob::new(bytes.clone())), &Props::new()).unwrap();
    let info = image.info().unwrap();
    assert_eq!((info.format.as_str(), info.virtual_size), ("ova", 1000));
    assert_eq!((info.facts["contains"].as_str(), info.facts["member"].as_str()), ("vmdk", "disk1.vmdk"));
    let page = image.extents(0, 1000, 10).unwrap();
    let [extent] = page.extents[..] else { panic!("{page:?}") };
    assert_eq!((extent.kind, extent.length, page.done), (ExtentKind::Data, 1000, true));
    let from = usize::try_from(extent.source_offset).unwrap();
    assert!(bytes[from..from + 1000] == [7; 1000]);
    let ranges = image.metadata_ranges(0, 10).unwrap();
    let covered: u64 = ranges.iter().map(|range| range.length).sum();
    assert_eq!(covered + 1000, u64::try_from(bytes.len()).unwrap(), "every byte has its use");
    assert_eq!(image.metadata_ranges(2, 10).unwrap(), []);
}

#[test]
fn archives_of_the_tar_program() {
    for format in ["ustar", "gnu", "pax", "v7"] {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("a.ovf"), one_disk()).unwrap();
        std::fs::write(dir.path().join("disk1.vmdk"), [5; 70_000]).unwrap();
        let made = Command::new("tar")
            .current_dir(dir.path())
            .args(["--format", format, "-cf", "a.ova", "a.ovf", "disk1.vmdk"])
            .status()
            .unwrap();
        assert!(made.success());
        let bytes = std::fs::read(dir.path().join("a.ova")).unwrap();
        let opened = Ova::open(Box::new(MemBlob::new(bytes.clone())), &Props::new());
        if format == "v7" {
            assert_eq!(opened.err().unwrap().code, "corrupt.header", "a header without a mark");
            continue;
        }
        let mut image = opened.unwrap();
        let extent = image.extents(0, u64::MAX, 1).unwrap().extents[0];
        let from = usize::try_from(extent.source_offset).unwrap();
        assert!(bytes[from..from + 70_000] == [5; 70_000], "{format}");
        assert_eq!(Ova::probe(&bytes[..60_000], &[], 0).unwrap().format, "ova");
    }
}

#[test]
fn one_of_several_disks_is_chosen_by_name_or_id() {
    let text = ovf(
        &[("f1", "a.vmdk", ""), ("f2", "b.vhd", ""), ("f3", "c.iso", "")],
        &[
            ("d1", "f1", STREAM),
            ("d2", "f2", "http://technet.microsoft.com/en-us/virtualserver/bb676673.aspx#vhd"),
        ],
    );
    let bytes = Tar::default()
        .file("x.ovf", text.as_bytes())
        .file("a.vmdk", &[1; 512])
        .file("b.vhd", &[2; 513])
        .file("c.iso", &[3; 5])
        .end();
    let with = |options: Props| {
        Ova::open(Box::new(MemBlob::new(bytes.clone())), &options)
            .and_then(|mut image| image.info())
            .map(|info| (info.facts["contains"].clone(), info.virtual_size))
            .map_err(|error| error.code)
    };
    assert_eq!(with(Props::new()).unwrap_err(), "unsupported.feature");
    for name in ["b.vhd", "d2"] {
        assert_eq!(with(props([("disk", name)])).unwrap(), ("vhd".to_owned(), 513));
    }
    assert_eq!(with(props([("disk", "a.vmdk")])).unwrap(), ("vmdk".to_owned(), 512));
    for name in ["c.iso", "", "f1", "blank"] {
        assert_eq!(with(props([("disk", name)])).unwrap_err(), "invalid.option", "{name}");
    }
}

#[test]
fn the_digest_of_the_manifest_is_a_fact() {
    let digest = "0123456789abcdefABCDEF".repeat(3)[..64].to_owned();
    for line in [format!("SHA256(disk1.vmdk)= {digest}"), format!("SHA256 (disk1.vmdk) = {digest}")] {
        let text = format!("SHA1(a.ovf)= {}\n{line}\n", "0".repeat(40));
        let bytes = good(&[7; 10]).file("a.mf", text.as_bytes()).end();
        let mut image = Ova::open(Box::new(MemBlob::new(bytes)), &Props::new()).unwrap();
        assert_eq!(image.info().unwrap().facts["manifest-sha256"], digest.to_ascii_lowercase());
    }
}
