//! Every foreign file is named precisely, and refused with what to do.

use std::path::Path;

use format_foreign::Foreign;
use imprint_plugin_sdk::{
    error::{Error, ErrorClass},
    format::Format,
    mock::MemBlob,
    types::Props,
};

const SIZE: usize = 70_000;

/// A file with these bytes at these places.
fn file(pieces: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    for (at, piece) in pieces {
        bytes[*at..at + piece.len()].copy_from_slice(piece);
    }
    bytes
}

fn probe(bytes: &[u8]) -> Option<(String, Option<String>)> {
    let guess = Foreign::probe(&bytes[..65536], &bytes[SIZE - 4096..], 70_000)?;
    assert!((2..=100).contains(&guess.confidence), "surer than raw");
    Some((guess.format, guess.subformat))
}

fn refused(bytes: Vec<u8>) -> Error {
    let Err(error) = Foreign::open(Box::new(MemBlob::new(bytes)), &Props::new());
    error
}

/// A file of each kind, and a word of what its owner shall do.
fn kinds() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let koly = b"koly\0\0\0\x04\0\0\x02\0";
    vec![
        ("iso9660", file(&[(32768, b"\x01CD001\x01")]), "upload it as an ISO"),
        ("udf", file(&[(32769, b"BEA01"), (34817, b"NSR03"), (36865, b"TEA01")]), "upload it as an ISO"),
        ("qed", file(&[(0, b"QED\0")]), "qemu-img convert -f qed"),
        ("parallels", file(&[(0, b"WithoutFreeSpace")]), "qemu-img convert -f parallels"),
        ("parallels", file(&[(0, b"WithouFreSpacExt")]), "qemu-img convert -f parallels"),
        ("luks", file(&[(0, b"LUKS\xba\xbe\0\x02")]), "--allow-luks"),
        ("luks", file(&[(0x4000, b"SKUL\xba\xbe\0\x02")]), "--allow-luks"),
        ("dmg", file(&[(SIZE - 512, koly)]), "qemu-img convert -f dmg"),
        ("vma", file(&[(0, b"VMA\0\0\0\0\x01")]), "vma extract"),
        ("gzip", file(&[(0, b"\x1f\x8b\x08\x08")]), "gunzip"),
        ("xz", file(&[(0, b"\xfd7zXZ\0")]), "unxz"),
        ("zstd", file(&[(0, b"\x28\xb5\x2f\xfd")]), "unzstd"),
        ("zstd", file(&[(0, b"\x50\x2a\x4d\x18\x04\0\0\0abcd\x28\xb5\x2f\xfd")]), "unzstd"),
        ("bzip2", file(&[(0, b"BZh9\x31\x41\x59\x26\x53\x59")]), "bunzip2"),
        ("zip", file(&[(0, b"PK\x03\x04")]), "unzip"),
        ("7z", file(&[(0, b"7z\xbc\xaf\x27\x1c")]), "7z x"),
        ("tar", file(&[(0, b"disk.raw"), (257, b"ustar\x0000")]), "tar -xf"),
        ("tar", file(&[(0, b"disk.raw"), (257, b"ustar  \0")]), "tar -xf"),
        ("wim", file(&[(0, b"MSWIM\0\0\0")]), "apply"),
    ]
}

#[test]
fn each_kind_is_named_and_refused_with_what_to_do() {
    for (name, bytes, advice) in kinds() {
        assert_eq!(probe(&bytes), Some((name.to_owned(), None)));
        let error = refused(bytes);
        assert_eq!((error.class, error.code), (ErrorClass::Unsupported, format!("unsupported.{name}")));
        assert!(
            error.message.starts_with("this is a") && error.message.contains(advice),
            "{}",
            error.message
        );
    }
}

#[test]
fn the_manifest_says_the_same_names() {
    let manifest =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin.toml")).unwrap();
    for (name, ..) in kinds() {
        assert!(manifest.contains(&format!("\"{name}\"")), "{name} is not in `recognises`");
    }
    assert!(manifest.contains("\"polyglot\""));
}

#[test]
fn variants_of_media() {
    let pvd: (usize, &[u8]) = (32769, b"CD001");
    let mut volume = [0; 130];
    volume[80..84].copy_from_slice(&20480_u32.to_le_bytes());
    volume[128..130].copy_from_slice(&2048_u16.to_le_bytes());
    let plain = file(&[(32768, &volume), pvd]);
    assert!(refused(plain).message.starts_with("this is an ISO image of 40 MiB; "));
    for (table, expected) in [
        (vec![(510, &b"\x55\xaa"[..])], "hybrid"),
        (vec![(512, &b"EFI PART"[..])], "hybrid"),
        (vec![(34817, &b"NSR02"[..])], "bridge"),
        (vec![(34817, &b"NSR02"[..]), (510, b"\x55\xaa")], "hybrid"),
    ] {
        let bytes = file(&[table, vec![pvd]].concat());
        assert_eq!(probe(&bytes), Some(("iso9660".to_owned(), Some(expected.to_owned()))));
        let error = refused(bytes);
        assert_eq!(error.code, "unsupported.iso9660");
        assert_eq!(error.message.contains("(hybrid)"), expected == "hybrid", "{}", error.message);
    }
}

#[test]
fn two_marks_are_a_forgery() {
    let bytes = file(&[(32769, b"CD001"), (0, b"LUKS\xba\xbe\0\x01")]);
    assert_eq!(probe(&bytes), Some(("polyglot".to_owned(), Some("luks+iso9660".to_owned()))));
    let error = refused(bytes);
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Denied, "denied.ambiguous-content"));
    assert!(error.message.contains("luks and iso9660"), "{}", error.message);
}

#[test]
fn what_others_read_is_left_to_them() {
    let theirs: [&[(usize, &[u8])]; 10] = [
        &[],
        &[(0, b"QFI\xfb\0\0\0\x01")],
        &[(0, b"KDMV")],
        &[(0, b"COWD")],
        &[(0, b"conectix")],
        &[(SIZE - 512, b"conectix")],
        &[(0, b"vhdxfile")],
        &[(64, b"\x7f\x10\xda\xbe")],
        &[(0, b"machine.ovf"), (257, b"ustar\x0000")],
        &[(0, b"pax"), (124, b"00000000024\0"), (156, b"x"), (257, b"ustar\x0000"), (1024, b"machine.ovf")],
    ];
    for pieces in theirs {
        assert_eq!(probe(&file(pieces)), None, "{pieces:?}");
        assert_eq!(refused(file(pieces)).code, "unsupported.format");
    }
    // Of two, one is theirs: both say what they see, and the host refuses it.
    let both = file(&[(0, b"QFI\xfb\0\0\0\x03"), (32769, b"CD001")]);
    assert_eq!(probe(&both), Some(("iso9660".to_owned(), None)));
}

#[test]
fn short_files_and_failed_reads() {
    for length in 0..16 {
        assert_eq!(Foreign::probe(&vec![0x1f; length], &vec![0x1f; length], 0), None);
    }
    let blob = MemBlob::new(vec![0; SIZE]).failing_at(10);
    let Err(error) = Foreign::open(Box::new(blob), &Props::new());
    assert_eq!(error.code, "blob.io");
}
