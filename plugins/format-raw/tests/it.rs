//! The raw format: identity, odd sizes, and files that are something else.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test that they help")]

use format_raw::{Raw, RawImage};
use imprint_format_kit::code;
use imprint_plugin_sdk::{
    error::{Error, ErrorClass},
    format::{CreateRequest, ExtentKind, Format, Image as _, Layout as _, Placed},
    mock::MemBlob,
    types::{Props, props},
};
use proptest::prelude::*;

fn open(blob: MemBlob) -> Result<RawImage, Error> {
    Raw::open(Box::new(blob), &Props::new())
}

fn at(offset: usize, mark: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    bytes[offset..offset + mark.len()].copy_from_slice(mark);
    bytes
}

fn shape(image: &mut RawImage, start: u64, end: u64, max: u32) -> Vec<(u64, u64, ExtentKind, u64)> {
    let page = image.extents(start, end, max).unwrap();
    page.extents
        .iter()
        .map(|extent| (extent.offset, extent.length, extent.kind, extent.source_offset))
        .collect()
}

#[test]
fn the_file_is_the_disk() {
    let mut image = open(MemBlob::new(vec![1; 8192])).unwrap();
    let info = image.info().unwrap();
    assert_eq!((info.format.as_str(), info.virtual_size, info.unit), ("raw", 8192, 1));
    assert!(info.facts.is_empty());
    assert_eq!(shape(&mut image, 0, 8192, 10), [(0, 8192, ExtentKind::Data, 0)]);
    assert_eq!(shape(&mut image, 1000, 3000, 10), [(1000, 2000, ExtentKind::Data, 1000)]);
    assert!(image.extents(8192, 8192, 10).unwrap().done);
    assert!(image.metadata_ranges(0, 10).unwrap().is_empty());
    assert_eq!(image.sources().unwrap().len(), 1);
}

#[test]
fn an_odd_length_is_rounded_up_and_said() {
    let mut image = open(MemBlob::new(vec![1; 1000])).unwrap();
    let info = image.info().unwrap();
    assert_eq!((info.virtual_size, info.facts["size-conflict"].as_str()), (1024, "1000"));
    let whole = [(0, 1000, ExtentKind::Data, 0), (1000, 24, ExtentKind::Zero, 0)];
    assert_eq!(shape(&mut image, 0, 1024, 10), whole);
    assert_eq!(shape(&mut image, 0, 1024, 1), whole[..1]);
    assert_eq!(shape(&mut image, 1000, 1024, 1), whole[1..]);
    assert_eq!(shape(&mut image, 1010, 1020, 1), [(1010, 10, ExtentKind::Zero, 0)]);
}

#[test]
fn empty_and_huge_files() {
    let mut image = open(MemBlob::new(vec![])).unwrap();
    assert_eq!(image.info().unwrap().virtual_size, 0);
    assert!(image.extents(0, 0, 10).unwrap().done);
    let mut image = open(MemBlob::new(vec![]).with_size(16 << 40)).unwrap();
    assert_eq!(shape(&mut image, 0, 16 << 40, 10), [(0, 16 << 40, ExtentKind::Data, 0)]);
    assert_eq!(code(open(MemBlob::new(vec![]).with_size(u64::MAX - 5))), "limit.virtual-size");
}

#[test]
fn r01_r02_a_container_is_not_raw() {
    let marks: [(usize, &[u8]); 14] = [
        (0, b"QFI\xfb\0\0\0\x03"),
        (0, b"QFI\xfb\0\0\0\x01"),
        (0, b"QED\0"),
        (0, b"KDMV"),
        (0, b"COWD"),
        (0, b"# Disk DescriptorFile\nversion=1"),
        (3, b"# disk descriptorfile"),
        (0, b"conectix"),
        (0, b"vhdxfile"),
        (64, b"\x7f\x10\xda\xbe"),
        (0, b"WithoutFreeSpace"),
        (0, b"LUKS\xba\xbe\0\x02"),
        (70000 - 512, b"conectix"),
        (70000 - 511, b"conectix"),
    ];
    for (offset, mark) in marks {
        let mut bytes = at(offset, mark, 70000);
        if offset == 3 {
            bytes[..3].copy_from_slice(b"\n \t");
        }
        let Err(error) = open(MemBlob::new(bytes.clone())) else { panic!("{mark:?} was opened") };
        assert_eq!(
            (error.class, error.code.as_str()),
            (ErrorClass::Denied, "denied.ambiguous-content"),
            "{mark:?}"
        );
        assert_eq!(Raw::probe(&bytes[..65536], &bytes[70000 - 4096..], 70000), None, "{mark:?}");
    }
    let mut polyglot = at(32769, b"CD001", 70000);
    polyglot[..4].copy_from_slice(b"QFI\xfb");
    assert_eq!(code(open(MemBlob::new(polyglot))), "denied.ambiguous-content");
}

#[test]
fn a_mark_elsewhere_is_payload() {
    for (offset, mark) in
        [(512, &b"QFI\xfb"[..]), (1, b"KDMV"), (70000 - 1024, b"conectix"), (65, b"\x7f\x10\xda\xbe")]
    {
        assert_eq!(code(open(MemBlob::new(at(offset, mark, 70000)))), "accepted", "{mark:?} at {offset}");
    }
    let guess = Raw::probe(&[0; 512], &[0; 512], 512).unwrap();
    assert_eq!((guess.confidence, guess.format.as_str()), (1, "raw"));
}

#[test]
fn luks_is_taken_when_it_is_allowed() {
    let bytes = at(0, b"LUKS\xba\xbe\0\x01", 8192);
    let open = |options: &Props| Raw::open(Box::new(MemBlob::new(bytes.clone())), options);
    let facts = open(&props([("allow-luks", "true")])).unwrap().info().unwrap().facts;
    assert_eq!((facts["content"].as_str(), facts["encrypted"].as_str()), ("luks", "true"));
    assert_eq!(code(open(&props([("allow-luks", "false")]))), "denied.ambiguous-content");
    assert_eq!(code(open(&props([("allow-luks", "yes")]))), "invalid.request");
}

#[test]
fn contents_are_facts() {
    let content =
        |bytes: Vec<u8>| open(MemBlob::new(bytes)).unwrap().info().unwrap().facts.get("content").cloned();
    assert_eq!(content(at(510, b"\x55\xaa", 70000)).as_deref(), Some("mbr"));
    assert_eq!(content(at(512, b"EFI PART", 70000)).as_deref(), Some("gpt"));
    assert_eq!(content(at(0x438, b"\x53\xef", 70000)).as_deref(), Some("ext"));
    let mut hybrid = at(32769, b"CD001", 70000);
    hybrid[510..512].copy_from_slice(b"\x55\xaa");
    assert_eq!(content(hybrid).as_deref(), Some("mbr,iso9660"));
    let mut fat = at(510, b"\x55\xaa", 70000);
    (fat[0x10], fat[0x15]) = (2, 0xf8);
    assert_eq!(content(fat), None);
}

#[test]
fn a_failed_read_is_the_hosts_error() {
    assert_eq!(code(open(MemBlob::new(vec![0; 70000]).failing_at(10))), "blob.io");
}

#[test]
fn a_new_file_is_as_long_as_the_disk() {
    let request = |virtual_size: u64, options: Props| CreateRequest {
        virtual_size,
        allocated: 0,
        subformat: None,
        options,
        append_only: true,
        parent: None,
    };
    let mut layout = Raw::begin_layout(&request(1 << 30, Props::new())).unwrap();
    let rules = layout.rules();
    assert!(rules.identity && rules.skip_zero && rules.codec.is_none());
    assert_eq!((rules.data_start, rules.unit, rules.align), (0, 1, 1));
    let page = layout.metadata(0, 0, 4096).unwrap();
    assert_eq!((page.segments.len(), page.done, page.final_size), (0, true, Some(1 << 30)));
    assert_eq!(
        code(layout.placed(&[Placed { offset: 0, length: 1, file_offset: 0, stored_length: 0 }])),
        "invalid.request"
    );
    assert_eq!(code(Raw::begin_layout(&request(1000, Props::new()))), "invalid.request");
    assert_eq!(code(Raw::begin_layout(&request(512, props([("compress", "zstd")])))), "unsupported.option");
    assert_eq!(
        code(Raw::begin_layout(&request(512, props([("cluster-size", "512")])))),
        "unsupported.option"
    );
    assert_eq!(code(Raw::begin_layout(&request(512, props([("compress", "none")])))), "accepted");
    let with = |change: fn(&mut CreateRequest)| {
        let mut request = request(512, Props::new());
        change(&mut request);
        code(Raw::begin_layout(&request))
    };
    assert_eq!(with(|request| request.parent = Some("x".to_owned())), "unsupported.option");
    assert_eq!(with(|request| request.subformat = Some("x".to_owned())), "unsupported.option");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_file_is_mapped_without_gaps(bytes in prop::collection::vec(any::<u8>(), 0..3000), start in 0..4000_u64, max in 1..3_u32) {
        let file = u64::try_from(bytes.len()).unwrap();
        let Ok(mut image) = open(MemBlob::new(bytes)) else { return Ok(()) };
        let end = image.info().unwrap().virtual_size;
        prop_assert!(end >= file && end < file + 512 && end % 512 == 0);
        let mut cursor = start.min(end);
        while cursor < end {
            let page = image.extents(cursor, end, max).unwrap();
            for extent in &page.extents {
                prop_assert_eq!(extent.offset, cursor);
                if extent.kind == ExtentKind::Data {
                    prop_assert_eq!(extent.source_offset, extent.offset);
                    prop_assert!(extent.offset + extent.length <= file);
                }
                cursor += extent.length;
            }
            prop_assert_eq!(page.resume, cursor);
        }
    }
}
