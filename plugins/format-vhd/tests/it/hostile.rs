//! Forged and damaged files: each has its code, none is believed, none makes the reader panic or
//! work for long.

use imprint_plugin_sdk::{
    error::ErrorClass,
    format::{ExtentKind, Image as _},
    types::props,
};

use crate::{
    forge::{BAT, BLOCK, DATA, Forge, HEADER, NAMES, SIZE, footer, put, seal},
    support::{aliased, all_findings, all_ranges, code, faults, open_bytes, open_with, whole_map},
};

/// The code of the refusal, wherever it comes: opening, the map, or what the host finds over the
/// whole map.
fn refusal_of(bytes: &[u8]) -> String {
    imprint_format_kit::outcome(|| open_bytes(bytes), aliased)
}

/// Spoils the valid dynamic image and expects the code.
#[track_caller]
fn expect(spoil: impl FnOnce(&mut Forge), expected: &str) {
    let mut forge = Forge::new();
    spoil(&mut forge);
    assert_eq!(refusal_of(&forge.bytes), expected);
}

/// Changes a field of the header, and puts the checksum right.
#[track_caller]
fn expect_header(at: usize, value: &[u8], expected: &str) {
    expect(|forge| _ = forge.header(|header| put(header, at, value)), expected);
}

/// Changes a field of the footer and its copy, and puts the checksums right.
#[track_caller]
fn expect_footer(at: usize, value: &[u8], expected: &str) {
    expect(|forge| _ = forge.footers(|footer| put(footer, at, value)), expected);
}

fn fact(bytes: &[u8], key: &str) -> Option<String> {
    open_bytes(bytes).unwrap().info().unwrap().facts.get(key).cloned()
}

#[test]
fn the_images_that_are_spoilt_are_good_ones() {
    for forge in [Forge::new(), Forge::differencing(), Forge::fixed(1 << 20)] {
        assert_eq!(refusal_of(&forge.bytes), "accepted");
        let mut image = open_bytes(&forge.bytes).unwrap();
        assert_eq!(faults(&all_findings(&mut image, 10).unwrap()), [""; 0]);
        let facts = image.info().unwrap().facts;
        assert_eq!(facts["id"], "07070707-0707-0707-0707-070707070707");
        assert_eq!(facts["creator"], "win");
        for key in
            ["size-conflict", "trailing-bytes", "saved-state", "footer-copies-differ", "footer-missing"]
        {
            assert_eq!(facts.get(key), None, "{key}");
        }
    }
    let mut image = open_bytes(&Forge::new().bytes).unwrap();
    let kinds: Vec<_> = whole_map(&mut image, 10).unwrap().iter().map(|extent| extent.kind).collect();
    assert_eq!(kinds, [ExtentKind::Data, ExtentKind::Zero, ExtentKind::Data, ExtentKind::Zero]);
    // Copy, header, table, footer, two bitmaps.
    assert_eq!(all_ranges(&mut image, 1).unwrap().len(), 6);
}

#[test]
fn h01_one_block_for_all() {
    let first = u32::try_from(DATA / 512).unwrap();
    expect(|forge| _ = forge.entry(2, first), "corrupt.aliased");
    expect(|forge| _ = forge.entry(1, first).entry(2, first).entry(3, first), "corrupt.aliased");
    // A sector is enough.
    expect(|forge| _ = forge.entry(2, first + 1), "corrupt.aliased");
    let mut forge = Forge::new();
    forge.entry(2, first + 1);
    let findings = all_findings(&mut open_bytes(&forge.bytes).unwrap(), 10).unwrap();
    assert_eq!(faults(&findings)[0], "corrupt.aliased");
}

#[test]
fn h01b_the_largest_disk_in_one_block() {
    let size: u64 = 2040 << 30;
    let entries = u32::try_from(size / BLOCK).unwrap();
    let data = (BAT + u64::from(entries) * 4).next_multiple_of(512);
    let mut bytes = vec![0xff; usize::try_from(data + 512 + BLOCK).unwrap()];
    let footer = footer(3, size, [7; 16]);
    put(&mut bytes, 0, &footer);
    put(&mut bytes, 512, &crate::forge::header(entries, 512 << 10));
    let table = u32::try_from(data / 512).unwrap().to_be_bytes().repeat(usize::try_from(entries).unwrap());
    put(&mut bytes, usize::try_from(BAT).unwrap(), &table);
    bytes.extend(footer);
    assert_eq!(refusal_of(&bytes), "corrupt.aliased");
    let findings = all_findings(&mut open_bytes(&bytes).unwrap(), 1000).unwrap();
    assert_eq!(findings.len(), 10_000, "a check has a bound");
}

#[test]
fn h02_more_entries_than_the_file_has() {
    for entries in [0x1fff_ffff_u32, u32::MAX, 0x7fff_ffff, 5_000_000, 4_000_000] {
        expect_header(28, &entries.to_be_bytes(), "corrupt.truncated");
    }
}

#[test]
fn a_table_may_be_longer_than_the_disk_needs() {
    // XenServer's storage on LVM always has room for 2 TiB in blocks of 2 MiB; and more than the
    // largest disk needs.
    for entries in [1_048_576_u32, 1_048_577, 5_000_000] {
        let table = (u64::from(entries) * 4).next_multiple_of(512);
        let (small, shift) = (Forge::new(), table - 512);
        let (at, data) = (usize::try_from(BAT).unwrap(), usize::try_from(DATA).unwrap());
        let mut bytes = small.bytes[..data].to_vec();
        bytes.truncate(at + 512);
        bytes.resize(data + usize::try_from(shift).unwrap(), 0xff);
        bytes.extend(&small.bytes[data..]);
        let mut forge = Forge { bytes };
        for (block, number) in [(0_u64, 0_u64), (2, 1)] {
            let place = DATA + shift + number * (BLOCK + 512);
            forge.entry(block, u32::try_from(place / 512).unwrap());
        }
        forge.header(|header| put(header, 28, &entries.to_be_bytes()));
        let mut image = open_bytes(&forge.bytes).unwrap();
        assert_eq!(image.info().unwrap().virtual_size, SIZE, "{entries}");
        let kinds: Vec<_> = whole_map(&mut image, 10).unwrap().iter().map(|extent| extent.kind).collect();
        assert_eq!(kinds, [ExtentKind::Data, ExtentKind::Zero, ExtentKind::Data, ExtentKind::Zero]);
        assert_eq!(faults(&all_findings(&mut image, 10).unwrap()), [""; 0], "{entries}");
    }
}

#[test]
fn h03_impossible_block_sizes() {
    for size in [0_u32, 1, 256, 3 << 20, (2 << 20) + 1, u32::MAX] {
        expect_header(32, &size.to_be_bytes(), "corrupt.header");
    }
    for size in [512_u32, 256 << 10, 512 << 20, 1 << 31] {
        expect_header(32, &size.to_be_bytes(), "unsupported.feature");
    }
    // A block larger than the disk has more than the file holds.
    expect_header(32, &(256_u32 << 20).to_be_bytes(), "corrupt.truncated");
}

#[test]
fn h04_a_parent_is_text_and_nothing_else() {
    let references = |forge: &Forge| -> Vec<String> {
        let sources = open_bytes(&forge.bytes).unwrap().sources().unwrap();
        assert!(sources[1..].iter().all(|source| source.role == "parent" && source.required));
        sources[1..].iter().map(|source| source.reference.clone()).collect()
    };
    let utf16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let mut forge = Forge::differencing();
    assert_eq!(references(&forge), ["base.vhd"]);
    let name: Vec<u8> = "/etc/passwd".encode_utf16().flat_map(u16::to_be_bytes).collect();
    forge.header(|header| put(header, 64, &name));
    assert_eq!(references(&forge), ["/etc/passwd"]);
    forge.locator(0, b"W2ku", &utf16("C:\\VMs\\b\u{e4}se.vhd"));
    forge.locator(1, b"W2ru", &utf16("..\\base.vhd\0"));
    forge.locator(2, b"MacX", b"file://localhost/b%C3%a4se%zz.vhd\0");
    forge.locator(3, b"????", b"ignored");
    assert_eq!(
        references(&forge),
        ["..\\base.vhd", "/etc/passwd", "C:\\VMs\\b\u{e4}se.vhd", "file://localhost/b\u{e4}se%zz.vhd"]
    );
    // Nothing at all, and what is no text.
    let mut nameless = Forge::differencing();
    nameless.header(|header| header[64..576].fill(0));
    assert_eq!(references(&nameless), ["09090909-0909-0909-0909-090909090909"]);
    nameless.locator(0, b"W2ru", &[0x00, 0xd8, 0x41, 0x00, 0x42]);
    assert_eq!(references(&nameless), ["\u{fffd}A"]);
    let hint = |forge: &Forge| open_bytes(&forge.bytes).unwrap().sources().unwrap()[1].format_hint.clone();
    assert_eq!(hint(&forge).as_deref(), Some("vhd"));
    // A layer over a raw disk.
    forge.header(|header| header[40..56].fill(0));
    assert_eq!((hint(&forge), fact(&forge.bytes, "parent-id")), (None, None));
    let mut image = open_bytes(&Forge::differencing().bytes).unwrap();
    let kinds: Vec<_> = whole_map(&mut image, 10).unwrap().iter().map(|extent| extent.kind).collect();
    assert_eq!(kinds, [ExtentKind::Data, ExtentKind::Hole, ExtentKind::Data, ExtentKind::Hole]);
}

#[test]
fn names_of_a_parent_that_are_not_there() {
    let with = |change: &dyn Fn(&mut [u8])| {
        let mut forge = Forge::differencing();
        forge.locator(0, b"W2ru", b"x\0").header(change);
        refusal_of(&forge.bytes)
    };
    assert_eq!(with(&|_| {}), "accepted");
    assert_eq!(with(&|header| put(header, 576 + 16, &u64::MAX.to_be_bytes())), "corrupt.header");
    assert_eq!(with(&|header| put(header, 576 + 16, &(1_u64 << 40).to_be_bytes())), "corrupt.header");
    assert_eq!(with(&|header| put(header, 576 + 8, &u32::MAX.to_be_bytes())), "corrupt.header");
    assert_eq!(with(&|header| put(header, 576 + 8, &100_000_u32.to_be_bytes())), "corrupt.header");
    for at in [0, 511, HEADER, BAT] {
        assert_eq!(with(&|header| put(header, 576 + 16, &at.to_be_bytes())), "corrupt.aliased");
    }
    // Upon a block: the host's rule, because names are tables.
    assert_eq!(with(&|header| put(header, 576 + 16, &DATA.to_be_bytes())), "corrupt.aliased");
    let mut twice = Forge::differencing();
    twice.locator(0, b"W2ru", b"x\0").locator(1, b"W2ku", b"x\0");
    twice.header(|header| put(header, 600 + 16, &NAMES.to_be_bytes()));
    assert_eq!(refusal_of(&twice.bytes), "corrupt.aliased");
    // A disk without a parent has no use for them.
    expect(|forge| _ = forge.locator(0, b"W2ru", b"x\0").header(|h| put(h, 592, &[0xff; 8])), "accepted");
}

#[test]
fn h05_tables_as_blocks() {
    for sector in [0, 1, 2, 3] {
        expect(|forge| _ = forge.entry(0, sector), "corrupt.aliased");
    }
    // The footer.
    let end = u32::try_from(Forge::new().bytes.len() / 512).unwrap();
    expect(|forge| _ = forge.entry(2, end - 1), "corrupt.truncated");
    expect(|forge| _ = forge.entry(2, end - 1025), "corrupt.truncated");
}

#[test]
fn h06_blocks_where_none_can_be() {
    expect(|forge| _ = forge.entry(0, 0xffff_fffe), "corrupt.table");
    expect(|forge| _ = forge.entry(3, u32::MAX - 1000), "corrupt.table");
    expect(|forge| _ = forge.entry(0, 0x7fff_ffff), "corrupt.truncated");
    // Entries behind the disk mean nothing, but are reported.
    let mut forge = Forge::new();
    forge.header(|header| put(header, 28, &5_u32.to_be_bytes())).entry(4, 100);
    assert_eq!(refusal_of(&forge.bytes), "accepted");
    let findings = all_findings(&mut open_bytes(&forge.bytes).unwrap(), 10).unwrap();
    assert!(faults(&findings).contains(&"vhd.leak".to_owned()));
}

#[test]
fn h07_two_sizes() {
    let spoil = |forge: &mut Forge, creator: &[u8; 4]| {
        forge.footers(|footer| {
            put(footer, 28, creator);
            // 2 MiB less than the other.
            put(footer, 56, &[0, 10, 4, 17]);
        });
    };
    for creator in [b"vpc ", b"qemu", b"abcd"] {
        expect(|forge| spoil(forge, creator), "corrupt.size-conflict");
    }
    let mut forge = Forge::new();
    spoil(&mut forge, b"vpc ");
    let size =
        |how: &str| open_with(&forge.bytes, &props([("size", how)])).unwrap().info().unwrap().virtual_size;
    assert_eq!((size("current"), size("geometry")), (SIZE, 10 * 4 * 17 * 512));
    assert_eq!(code(open_with(&forge.bytes, &props([("size", "larger")]))), "invalid.request");
    // Less than a cylinder is normal.
    expect_footer(28, b"vpc \0\0\0\0Wi2k", "accepted");
    let mut near = Forge::new();
    near.footers(|footer| {
        put(footer, 28, b"vpc ");
        put(footer, 56, &[0, 60, 4, 17]);
    });
    assert_eq!(refusal_of(&near.bytes), "accepted");
    assert_eq!(fact(&near.bytes, "size-conflict"), Some(SIZE.to_string()));
}

#[test]
fn h08_checksums() {
    let end = Forge::new().bytes.len() - 512;
    for at in [64, 100, 512 + 36, 512 + 900, end + 67, end + 300] {
        expect(|forge| forge.bytes[at] ^= 1, "corrupt.checksum");
        let mut forge = Forge::new();
        forge.bytes[at] ^= 1;
        let Ok(mut image) = open_with(&forge.bytes, &props([("salvage", "true")])) else {
            panic!("byte {at}")
        };
        assert_eq!(image.info().unwrap().virtual_size, SIZE);
        assert_eq!(whole_map(&mut image, 10).unwrap().len(), 4);
    }
    let mut fixed = Forge::fixed(1 << 20);
    fixed.bytes[(1 << 20) + 200] ^= 1;
    assert_eq!(refusal_of(&fixed.bytes), "corrupt.checksum");
    let error = open_bytes(&fixed.bytes).err().unwrap();
    assert_eq!(error.class, ErrorClass::Corrupt);
    assert_eq!(code(open_with(&fixed.bytes, &props([("salvage", "maybe")]))), "invalid.request");
}

#[test]
fn h09_a_fixed_disk_that_is_not_there() {
    let mut forge = Forge::fixed(1 << 20);
    forge.footers(|footer| put(footer, 48, &(1_u64 << 40).to_be_bytes()));
    assert_eq!(refusal_of(&forge.bytes), "corrupt.truncated");
    forge.footers(|footer| put(footer, 48, &((1_u64 << 20) + 512).to_be_bytes()));
    assert_eq!(refusal_of(&forge.bytes), "corrupt.truncated");
    forge.footers(|footer| put(footer, 48, &((1_u64 << 20) - 512).to_be_bytes()));
    assert_eq!(refusal_of(&forge.bytes), "accepted");
    assert_eq!(fact(&forge.bytes, "trailing-bytes").as_deref(), Some("512"));
}

#[test]
fn footers_that_disagree() {
    let alone = |at: usize, value: &[u8]| {
        let mut forge = Forge::new();
        put(&mut forge.bytes, at, value);
        seal(&mut forge.bytes[..512], 64);
        forge
    };
    for (at, value) in [
        (48, &(SIZE + 512).to_be_bytes()[..]),
        (68, &[1]),
        (56, &[0, 1, 1, 1]),
        (16, &[0, 0, 0, 0, 0, 0, 4, 0]),
    ] {
        assert_eq!(refusal_of(&alone(at, value).bytes), "corrupt.header", "{at}");
    }
    // Times and flags may be behind.
    let forge = alone(24, &[1, 2, 3, 4]);
    assert_eq!(refusal_of(&forge.bytes), "accepted");
    assert_eq!(fact(&forge.bytes, "footer-copies-differ").as_deref(), Some("true"));
    let notes = all_findings(&mut open_bytes(&forge.bytes).unwrap(), 10).unwrap();
    assert_eq!(notes[0].code, "vhd.footer-copies-differ");
    // A copy that is not there at all.
    expect(|forge| forge.bytes[..512].fill(0), "corrupt.header");
}

#[test]
fn headers_that_are_elsewhere() {
    for (offset, expected) in [
        (0_u64, "corrupt.header"),
        (256, "corrupt.header"),
        (513, "corrupt.header"),
        (u64::MAX, "corrupt.header"),
        (1024, "corrupt.header"),
        (u64::MAX - 511, "corrupt.truncated"),
        (1 << 40, "corrupt.truncated"),
    ] {
        expect_footer(16, &offset.to_be_bytes(), expected);
    }
    for (table, expected) in [
        (0_u64, "corrupt.aliased"),
        (512, "corrupt.aliased"),
        (1024, "corrupt.aliased"),
        (1537, "corrupt.header"),
        (u64::MAX - 511, "corrupt.truncated"),
        (1 << 40, "corrupt.truncated"),
        // The first block's bytes as entries.
        (DATA + 512, "corrupt.truncated"),
    ] {
        expect_header(16, &table.to_be_bytes(), expected);
    }
    expect_header(28, &3_u32.to_be_bytes(), "corrupt.table");
    expect_header(28, &0_u32.to_be_bytes(), "corrupt.table");
}

#[test]
fn versions_kinds_and_sizes() {
    expect_footer(12, &[0, 2, 0, 0], "unsupported.version");
    expect_header(24, &[0, 2, 0, 0], "unsupported.version");
    for kind in [0_u32, 1, 5, 6, u32::MAX] {
        expect_footer(60, &kind.to_be_bytes(), "unsupported.feature");
    }
    // As a fixed one, the disk is longer than the file.
    expect_footer(60, &2_u32.to_be_bytes(), "corrupt.truncated");
    for size in [2041_u64 << 30, 1 << 62, u64::MAX - 511] {
        expect_footer(48, &size.to_be_bytes(), "limit.virtual-size");
    }
    expect_footer(48, &(SIZE - 1).to_be_bytes(), "corrupt.header");
    expect_footer(48, &(SIZE + 512).to_be_bytes(), "corrupt.table");
    expect_footer(48, &0_u64.to_be_bytes(), "accepted");
    expect_footer(48, &512_u64.to_be_bytes(), "accepted");
}

#[test]
fn files_that_were_cut_are_never_accepted() {
    let whole = Forge::new().bytes;
    let data = usize::try_from(DATA).unwrap();
    let step = whole.len() / 50;
    let cuts =
        [0, 1, 8, 510, 511, 512, 1023, 1024, 1535, 1536, 1600, 2048, data, data + 512, whole.len() - 513];
    for length in
        cuts.into_iter().chain((0..whole.len()).step_by(step)).chain(whole.len() - 512..whole.len() - 1)
    {
        let outcome = refusal_of(&whole[..length]);
        assert!(outcome.starts_with("corrupt."), "{length}: {outcome}");
    }
    assert_eq!(refusal_of(&whole[..whole.len() - 512]), "corrupt.truncated");
    assert_eq!(refusal_of(&whole[..data + 1000]), "corrupt.truncated");
    let fixed = Forge::fixed(1 << 20).bytes;
    for length in [0, 1, 511, 512, 1 << 19, 1 << 20, (1 << 20) + 510] {
        assert_eq!(refusal_of(&fixed[..length]), "corrupt.truncated", "{length}");
    }
    // What is left can be looked at by those who insist.
    let cut = &whole[..whole.len() - 512];
    let mut image = open_with(cut, &props([("salvage", "true")])).unwrap();
    assert_eq!(whole_map(&mut image, 10).unwrap().len(), 4);
    assert_eq!(image.info().unwrap().facts["footer-missing"], "true");
}

#[test]
fn old_footers_have_511_bytes() {
    for forge in [Forge::new(), Forge::fixed(1 << 20)] {
        let old = &forge.bytes[..forge.bytes.len() - 1];
        assert_eq!(refusal_of(old), "accepted");
        assert_eq!(fact(old, "trailing-bytes"), None);
    }
}

#[test]
fn foreign_bytes_behind_the_footer() {
    let mut forge = Forge::new();
    forge.bytes.extend([0x77; 3000]);
    assert_eq!(refusal_of(&forge.bytes), "accepted");
    assert_eq!(fact(&forge.bytes, "trailing-bytes").as_deref(), Some("3000"));
    assert_eq!(whole_map(&mut open_bytes(&forge.bytes).unwrap(), 10).unwrap().len(), 4);
    // Zeroes up to a whole MiB, as some uploads pad.
    let mut padded = Forge::new();
    padded.bytes.resize(2 << 20, 0);
    assert_eq!(refusal_of(&padded.bytes), "accepted");
    // Behind the last block is something else.
    let mut other = Forge::new();
    let end = other.bytes.len() - 512;
    other.bytes[end] ^= 1;
    other.bytes.extend([0; 4096]);
    assert_eq!(refusal_of(&other.bytes), "corrupt.truncated");
}

#[test]
fn a_suspended_machines_disk() {
    let mut forge = Forge::new();
    forge.footers(|footer| footer[84] = 1);
    assert_eq!(fact(&forge.bytes, "saved-state").as_deref(), Some("true"));
}

#[test]
fn sectors_that_a_block_does_not_have() {
    let bitmap = usize::try_from(DATA).unwrap();
    for (mut forge, absent) in [(Forge::new(), ExtentKind::Zero), (Forge::differencing(), ExtentKind::Hole)] {
        forge.bytes[bitmap] = 0b0111_1111;
        forge.bytes[bitmap + 64] = 0b1111_0000;
        let map = whole_map(&mut open_bytes(&forge.bytes).unwrap(), 100).unwrap();
        let shape: Vec<_> = map.iter().map(|extent| (extent.kind, extent.length / 512)).collect();
        let data = ExtentKind::Data;
        assert_eq!(
            shape,
            [
                (absent, 1),
                (data, 515),
                (absent, 4),
                (data, 504),
                (absent, 1024),
                (data, 1024),
                (absent, 1024)
            ]
        );
        assert_eq!(map[1].source_offset, DATA + 512 + 512);
        assert_eq!(map[3].source_offset, DATA + 512 + 520 * 512);
    }
}

#[test]
fn lost_space_is_reported() {
    let mut forge = Forge::new();
    forge.entry(2, u32::MAX);
    assert_eq!(refusal_of(&forge.bytes), "accepted");
    let findings = all_findings(&mut open_bytes(&forge.bytes).unwrap(), 10).unwrap();
    assert_eq!(faults(&findings), ["vhd.leak"]);
    assert_eq!(findings[0].offset, Some(DATA + BLOCK + 512));
}

#[test]
fn no_byte_of_footer_or_header_can_change_unseen() {
    let whole = Forge::differencing().bytes;
    let end = whole.len() - 512;
    for at in (0..1536).chain(end..whole.len()) {
        for mask in [1, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= mask;
            let refusal = open_bytes(&bytes).err().map(|error| error.code);
            assert!(refusal.is_some_and(|code| code.starts_with("corrupt.")), "byte {at}");
        }
    }
}

#[test]
fn it_is_asked_about_every_file_that_it_knows() {
    let also = [[&[0; 600], b"conectix".as_slice(), &[0; 503]].concat()];
    let known =
        imprint_format_kit::known_by_their_marks::<format_vhd::Vhd>(include_str!("../../plugin.toml"), &also);
    assert!(known > also.len() + 5, "{known}");
}
