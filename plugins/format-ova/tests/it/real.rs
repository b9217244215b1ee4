//! Archives as other programs make them.

use std::process::Command;

use format_ova::Ova;
use imprint_plugin_sdk::{
    format::{ExtentKind, Format, Image as _, Severity},
    mock::MemBlob,
    types::{Props, props},
};
use tempfile::TempDir;

use crate::forge::{STREAM, Tar, good, header, one_disk, ovf};

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

/// The disk of an archive, what it holds, and the remarks of the check.
fn read(bytes: &[u8], options: &Props) -> (String, Vec<u8>, Vec<String>) {
    let mut image = Ova::open(Box::new(MemBlob::new(bytes.to_vec())), options).unwrap();
    let facts = image.info().unwrap().facts;
    let extent = image.extents(0, u64::MAX, 1).unwrap().extents[0];
    let from = usize::try_from(extent.source_offset).unwrap();
    let length = usize::try_from(extent.length).unwrap();
    let notes = image.check(0, 100).unwrap();
    assert!(notes.done && notes.items.iter().all(|note| note.severity == Severity::Note));
    let notes = notes.items.into_iter().map(|note| note.message).collect();
    (format!("{} {}", facts["contains"], facts["member"]), bytes[from..from + length].to_vec(), notes)
}

/// An archive of the tar program with these files, in this order.
fn packed(files: &[(&str, &[u8])], args: &[&str]) -> Vec<u8> {
    let dir = TempDir::new().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let mut tar = Command::new("tar");
    tar.current_dir(dir.path()).args(["-cf", "out.ova"]).args(args);
    if args.iter().all(|arg| arg.starts_with("--")) {
        tar.args(files.iter().map(|(name, _)| *name));
    }
    assert!(tar.status().unwrap().success());
    std::fs::read(dir.path().join("out.ova")).unwrap()
}

#[test]
fn names_are_those_that_people_give() {
    let long = format!("{}.vmdk", "a long name ".repeat(15));
    for name in ["My VM (1)+,@.vmdk", "Büro, Größe 1.vmdk", long.as_str()] {
        for format in ["gnu", "pax"] {
            for href in [name.to_owned(), name.replace(' ', "%20"), format!("./{name}")] {
                let text = ovf(&[("f1", &href, "")], &[("d1", "f1", STREAM)]);
                let ovf_name = name.replace(".vmdk", ".ovf");
                let files: [(&str, &[u8]); 2] = [(&ovf_name, text.as_bytes()), (name, &[7; 900])];
                let bytes = packed(&files, &[&format!("--format={format}")]);
                let (disk, content, notes) = read(&bytes, &Props::new());
                assert_eq!((disk, content), (format!("vmdk {name}"), vec![7; 900]), "{format} {href}");
                assert_eq!(notes, Vec::<String>::new());
                assert!(Ova::probe(&bytes, &[], 0).is_some(), "{format} {name}");
            }
        }
    }
}

#[test]
fn folders_and_leading_dots_are_read() {
    let text = one_disk();
    let files: [(&str, &[u8]); 2] = [("vm/a.ovf", text.as_bytes()), ("vm/disk1.vmdk", &[8; 700])];
    for (args, member) in
        [(["-C", "vm", "."], "disk1.vmdk"), (["--format=ustar", "--no-recursion", "vm"], "")]
    {
        if member.is_empty() {
            let bytes = packed(&files, &["--format=gnu"]);
            assert_eq!(read(&bytes, &Props::new()).0, "vmdk vm/disk1.vmdk");
            continue;
        }
        let bytes = packed(&files, &args);
        assert_eq!(read(&bytes, &Props::new()).0, format!("vmdk {member}"));
        assert!(Ova::probe(&bytes, &[], 0).is_some());
    }
    let bytes = packed(&files, &["vm"]);
    assert_eq!(read(&bytes, &Props::new()).0, "vmdk vm/disk1.vmdk");
}

#[test]
fn the_disk_may_be_in_front_of_its_description() {
    let bytes = Tar::default().file("disk1.vmdk", &[9; 3000]).file("a.ovf", one_disk().as_bytes()).end();
    assert!(Ova::probe(&bytes[..1024], &[], 0).is_some());
    assert_eq!(read(&bytes, &Props::new()).1, [9; 3000]);
}

#[test]
fn disks_of_ovirt_have_no_ending() {
    let id = "f1b2e3d4-0000-4000-8000-000000000001";
    for (format, more, expected) in [
        ("http://www.gnome.org/~markmc/qcow-image-format.html", "", "qcow2"),
        ("http://www.vmware.com/specifications/vmdk.html#sparse", "ovf:volume-format=\"COW\"", "qcow2"),
        ("http://www.vmware.com/specifications/vmdk.html#sparse", "ovf:volume-format=\"RAW\"", "raw"),
        ("http://technet.microsoft.com/en-us/library/bb676673.aspx", "", "vhd"),
    ] {
        let text = ovf(&[("f1", id, "")], &[("d1", "f1", format)]);
        let text =
            text.replace("ovf:fileRef=\"f1\"", &format!("ovf:fileRef=\"f1\" ovf:parentRef=\"\" {more}"));
        let bytes = Tar::default().file("vm.ovf", text.as_bytes()).file(id, &[1; 512]).end();
        assert_eq!(read(&bytes, &Props::new()).0, format!("{expected} {id}"));
    }
}

#[test]
fn what_is_odd_is_read_and_said() {
    let digest = "a".repeat(64);
    let text = ovf(&[("f1", "disk1.vmdk", ""), ("f2", "vm.nvram", "")], &[("d1", "f1", STREAM)]);
    let missing = Tar::default().file("a.ovf", text.as_bytes()).file("disk1.vmdk", b"x");
    let mut padded = good(b"x").end();
    padded.resize(padded.len() + (3 << 20), 0);
    let no_padding = good(b"x").0[..1024 + one_disk().len().next_multiple_of(512) + 1].to_vec();
    let latin = header("a.txt", 1, b'0', |block| block[..5].copy_from_slice(b"\xfc.txt"));
    for (bytes, note) in [
        (missing.end(), "\"vm.nvram\" is not in the archive"),
        (padded, "follow the end"),
        (good(b"x").0, "no end mark"),
        (no_padding, "no end mark"),
        (good(b"x").file("._disk1.vmdk", b"y").end(), "macOS"),
        (good(b"x").raw(&latin, b"y").end(), "not UTF-8"),
        (good(b"x").file("a.mf", format!("SHA3(disk1.vmdk)= {digest}").as_bytes()).end(), "unknown kind"),
        (good(b"x").file("a.mf", b"\xff\xfe").end(), "not understood"),
    ] {
        let (_, content, notes) = read(&bytes, &Props::new());
        assert_eq!(content, b"x", "{note}");
        assert!(notes.len() == 1 && notes[0].contains(note), "{note}: {notes:?}");
    }
    // A manifest that contradicts itself is not read where it is to be ignored.
    let bytes = good(b"x").file("a.mf", b"SHA256(disk1.vmdk)= 00\n").end();
    assert!(Ova::open(Box::new(MemBlob::new(bytes.clone())), &Props::new()).is_err());
    assert_eq!(read(&bytes, &props([("ignore-manifest", "true")])).1, b"x");
}

#[test]
fn a_member_may_be_larger_than_its_header_can_state() {
    // The last bytes of 9 GiB are not there: the record counts, and the file is too short for it.
    let size: u64 = 9 << 30;
    let record = format!("19 size={size}\n");
    let record = format!("{} size={size}\n", record.len());
    let pax = header("pax", record.len(), b'x', |_| {});
    let disk = header("disk1.vmdk", 0, b'0', |_| {});
    let mut bytes = Tar::default().file("a.ovf", one_disk().as_bytes()).raw(&pax, record.as_bytes()).0;
    bytes.extend(disk);
    let data = u64::try_from(bytes.len()).unwrap();
    bytes.resize(bytes.len() + 1024, 0);
    let short = Ova::open(Box::new(MemBlob::new(bytes.clone())), &Props::new());
    assert_eq!(short.err().unwrap().code, "corrupt.truncated");
    let blob = MemBlob::new(bytes).with_size(data + size + 1024);
    let mut image = Ova::open(Box::new(blob), &Props::new()).unwrap();
    assert_eq!(image.info().unwrap().virtual_size, size);
}
