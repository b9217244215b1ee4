//! Forged files: each has its code, none is believed, none makes the reader panic or work for long.

use format_vdi::Vdi;
use imprint_plugin_sdk::{
    error::ErrorClass,
    format::{ExtentKind, Format, Image as _, Severity},
    mock::MemBlob,
    types::Props,
};

use crate::support::{all_findings, faults, open_bytes, whole_map};

pub(crate) const MIB: usize = 1 << 20;
pub(crate) const MAP: usize = 512;

/// A valid image of 4 MiB with blocks 0 and 2 in the file, as blocks 1 and 0; block 3 is zeroes.
pub(crate) fn valid() -> Vec<u8> {
    let mut bytes = vec![0_u8; 3 * MIB];
    let words: [(usize, u32); 12] = [
        (0x40, 0xbeda_107f),
        (0x44, 0x0001_0001),
        (0x48, 0x180),
        (0x4c, 1),
        (0x154, 512),
        (0x158, 1 << 20),
        (0x168, 512),
        (0x170, 4 << 20),
        (0x178, 1 << 20),
        (0x180, 4),
        (0x184, 2),
        (0x188, 0x1234_5678),
    ];
    for (at, word) in words {
        put(&mut bytes, at, word);
    }
    for (index, entry) in [1, u32::MAX, 0, u32::MAX - 1].into_iter().enumerate() {
        put(&mut bytes, MAP + index * 4, entry);
    }
    bytes[MIB..].fill(0x5a);
    bytes
}

pub(crate) fn put(bytes: &mut [u8], at: usize, word: u32) {
    bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
}

/// The code of the refusal, by the header or by the map.
fn outcome(bytes: &[u8]) -> String {
    imprint_format_kit::outcome(|| open_bytes(bytes), imprint_format_kit::aliased)
}

#[track_caller]
fn expect(words: &[(usize, u32)], expected: &str) {
    let mut bytes = valid();
    words.iter().for_each(|(at, word)| put(&mut bytes, *at, *word));
    assert_eq!(outcome(&bytes), expected, "{words:x?}");
}

#[test]
fn the_image_that_is_spoilt_is_a_good_one() {
    let mut image = open_bytes(&valid()).unwrap();
    assert_eq!(all_findings(&mut image, 10).unwrap(), []);
    let map = whole_map(&mut image, 10).unwrap();
    let shape: Vec<_> = map.iter().map(|extent| (extent.kind, extent.source_offset)).collect();
    let data = ExtentKind::Data;
    assert_eq!(shape, [(data, 2 << 20), (ExtentKind::Hole, 0), (data, 1 << 20), (ExtentKind::Zero, 0)]);
    let info = image.info().unwrap();
    assert_eq!(info.facts["id"], "12345678-0000-0000-0000-000000000000");
    assert_eq!(image.sources().unwrap().len(), 1);
}

#[test]
fn d01_all_blocks_in_one_place() {
    expect(&[(MAP, 0)], "corrupt.aliased");
    expect(&[(MAP + 4, 1)], "corrupt.aliased");
    expect(&[(MAP, 0), (MAP + 4, 0), (MAP + 8, 0), (MAP + 12, 0)], "corrupt.aliased");
}

#[test]
fn d02_half_a_billion_blocks() {
    expect(&[(0x180, 0x2000_0000)], "limit.table-size");
    expect(&[(0x180, 0x2000_0000), (0x174, 0x2_0000)], "limit.table-size");
    expect(&[(0x180, u32::MAX)], "limit.table-size");
    // As many as are possible, in a file that has not even the map.
    expect(&[(0x180, 1 << 26), (0x158, (256 << 20) + (1 << 20))], "corrupt.truncated");
}

#[test]
fn d03_blocks_behind_the_end() {
    expect(&[(MAP, 3)], "corrupt.truncated");
    expect(&[(MAP, 2)], "corrupt.truncated");
    expect(&[(MAP, u32::MAX - 2)], "corrupt.truncated");
    let bytes = valid();
    assert_eq!(outcome(&bytes[..3 * MIB - 1]), "corrupt.truncated");
    for length in [0, 63, 68, 0x1c7, 0x1c8, 512, MAP + 15, MIB, MIB + 1] {
        let expected = if length < 68 { "corrupt.truncated" } else { "corrupt." };
        let outcome = outcome(&bytes[..length]);
        assert!(outcome.starts_with(expected), "{length}: {outcome}");
    }
}

#[test]
fn d04_layers_are_refused_with_what_to_do() {
    expect(&[(0x4c, 3)], "denied.external-reference");
    expect(&[(0x4c, 4)], "denied.external-reference");
    expect(&[(0x1a8, 1)], "denied.external-reference");
    expect(&[(0x1b8 + 12, 1)], "denied.external-reference");
    let mut bytes = valid();
    put(&mut bytes, 0x4c, 4);
    let Err(error) = open_bytes(&bytes) else { panic!("opened") };
    assert_eq!(error.class, ErrorClass::Denied);
    assert!(error.message.contains("clonemedium"), "{}", error.message);
}

#[test]
fn headers_that_contradict_themselves() {
    expect(&[(0x40, 0)], "corrupt.header");
    expect(&[(0x44, 0x0001_0002)], "unsupported.version");
    expect(&[(0x4c, 0)], "corrupt.header");
    expect(&[(0x4c, 5)], "corrupt.header");
    expect(&[(0x154, 0)], "corrupt.aliased");
    expect(&[(0x154, 513)], "corrupt.header");
    expect(&[(0x154, 0xffff_fe00), (0x158, 0xffff_fe00)], "corrupt.aliased");
    expect(&[(0x158, 512)], "corrupt.aliased");
    expect(&[(0x158, 0x0010_0001)], "corrupt.header");
    expect(&[(0x168, 4096)], "corrupt.header");
    for block in [0, 1, 1000, 0x0010_0001, 1 << 31] {
        expect(&[(0x178, block)], "corrupt.header");
    }
    expect(&[(0x17c, 512)], "unsupported.feature");
    expect(&[(0x180, 3)], "corrupt.header");
    expect(&[(0x174, 1)], "corrupt.header");
    expect(&[(0x170, u32::MAX), (0x174, u32::MAX)], "limit.virtual-size");
}

#[test]
fn a_size_between_two_sectors_is_rounded_up_and_reported() {
    let mut bytes = valid();
    put(&mut bytes, 0x170, (3 << 20) + 5);
    let info = open_bytes(&bytes).unwrap().info().unwrap();
    assert_eq!((info.virtual_size, info.facts["size-conflict"].as_str()), ((3 << 20) + 512, "3145733"));
}

#[test]
fn a_check_finds_wrong_counts_and_lost_blocks() {
    let mut bytes = valid();
    put(&mut bytes, MAP, u32::MAX);
    put(&mut bytes, 0x158, 512 + 1024);
    bytes.truncate(MAP + 1024 + 2 * MIB + 100);
    let mut image = open_bytes(&bytes).unwrap();
    for page in [1, 10] {
        let findings = all_findings(&mut image, page).unwrap();
        let shape: Vec<_> = findings.iter().map(|found| (found.severity, found.code.as_str())).collect();
        assert_eq!(shape, [(Severity::Note, "vdi.allocated"), (Severity::Leak, "vdi.leak")]);
        assert_eq!(findings[1].offset, Some(1536 + (1 << 20)));
    }
}

#[test]
fn every_call_is_short_however_large_the_disk_is() {
    // 16 TiB of which nothing is stored: a map of 64 MiB.
    let (blocks, data) = (1 << 24, 65 << 20);
    let mut bytes = vec![0xff; MAP + (64 << 20)];
    bytes[..MAP].copy_from_slice(&valid()[..MAP]);
    for (at, word) in [(0x158, data), (0x170, 0), (0x174, 1 << 12), (0x180, blocks), (0x184, 0)] {
        put(&mut bytes, at, word);
    }
    let blob = MemBlob::new(bytes).with_size(data.into());
    imprint_format_kit::assert_calls_are_short::<Vdi>(Box::new(blob));
}

#[test]
fn a_check_reports_what_a_map_refuses() {
    let mut bytes = valid();
    // Block 0 of the file twice, and a block that the file does not have.
    put(&mut bytes, MAP, 0);
    put(&mut bytes, MAP + 4, 3);
    let findings = all_findings(&mut open_bytes(&bytes).unwrap(), 10).unwrap();
    let codes: Vec<_> = findings.iter().map(|found| (found.severity, found.code.as_str())).collect();
    let (error, leak) = (Severity::Error, Severity::Leak);
    let expected = [
        (error, "corrupt.truncated"),
        (error, "corrupt.aliased"),
        (Severity::Note, "vdi.allocated"),
        (leak, "vdi.leak"),
    ];
    assert_eq!(codes, expected);
}

#[test]
fn every_flipped_bit_of_the_header_is_refused_or_bounded() {
    let good = valid();
    for at in 0..MAP + 16 {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            let Ok(mut image) = open_bytes(&bytes) else { continue };
            let file = u64::try_from(bytes.len()).unwrap();
            let map = whole_map(&mut image, 100);
            let found = faults(&all_findings(&mut image, 1000).unwrap());
            match map {
                Ok(map) => {
                    let inside = |end| end <= file;
                    let stored = map.iter().filter(|extent| extent.kind == ExtentKind::Data);
                    assert!(stored.clone().all(|extent| inside(extent.source_offset + extent.length)));
                    // Entries behind the disk are checked, too: at most two findings for each.
                    let blocks = u32::from_le_bytes(*bytes[0x180..].first_chunk().unwrap());
                    assert!(found.len() <= 2 * usize::try_from(blocks).unwrap() + 1);
                }
                Err(_) => assert!(!found.is_empty(), "the check passes what the map refuses"),
            }
        }
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_noticed() {
    let blob = MemBlob::new(valid()).short_from(520);
    let outcome =
        imprint_format_kit::outcome(|| Vdi::open(Box::new(blob), &Props::new()), imprint_format_kit::aliased);
    assert_eq!(outcome, "corrupt.truncated");
}

#[test]
fn probing_distinguishes_versions() {
    let confidence = |bytes: &[u8]| Vdi::probe(bytes, &[], 0).map(|guess| guess.confidence);
    let mut bytes = valid();
    assert_eq!(confidence(&bytes), Some(100));
    put(&mut bytes, 0x44, 1);
    assert_eq!(confidence(&bytes), Some(60));
    put(&mut bytes, 0x40, 1);
    assert_eq!((confidence(&bytes), confidence(&bytes[..10])), (None, None));
}

#[test]
fn it_is_asked_about_every_file_that_it_knows() {
    let known =
        imprint_format_kit::known_by_their_marks::<format_vdi::Vdi>(include_str!("../../plugin.toml"), &[]);
    assert!(known > 5, "{known}");
}
