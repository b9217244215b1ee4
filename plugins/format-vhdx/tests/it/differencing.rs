//! Layers over a parent: sector bitmaps, the parent's name and identity.

use imprint_plugin_sdk::format::{ExtentKind, Image as _};

use crate::{
    forge::{BAT, Forge, ITEMS, LINKAGE, METADATA, MIB, guid},
    hostile::outcome,
    support::{Numbers, all_findings, assert_sound, open_bytes, whole_map},
};

const SECTOR: u64 = 512;

#[test]
fn sectors_come_from_the_layer_or_from_its_parent() {
    let mut image = open_bytes(&Forge::differencing().bytes).unwrap();
    let map = whole_map(&mut image, 100).unwrap();
    let shape: Vec<_> =
        map.iter().map(|extent| (extent.kind, extent.offset, extent.length, extent.source_offset)).collect();
    let (data, hole) = (ExtentKind::Data, ExtentKind::Hole);
    let block = 6 * MIB;
    let expected = [
        (data, 0, MIB, 5 * MIB),
        (hole, MIB, SECTOR, 0),
        (data, MIB + SECTOR, SECTOR, block + SECTOR),
        (hole, MIB + 2 * SECTOR, 6 * SECTOR, 0),
        (data, MIB + 8 * SECTOR, 2 * SECTOR, block + 8 * SECTOR),
        (hole, MIB + 10 * SECTOR, MIB - 10 * SECTOR, 0),
        (data, 2 * MIB, MIB, 4 * MIB),
        (ExtentKind::Zero, 3 * MIB, MIB, 0),
        (hole, 4 * MIB, 4 * MIB, 0),
    ];
    assert_eq!(shape, expected);
    assert_sound(&mut image, 8 * MIB);
    assert_eq!(all_findings(&mut image, 10).unwrap(), []);
    let ranges = image.metadata_ranges(0, 100).unwrap();
    assert_eq!(ranges.last().map(|range| (range.offset, range.length)), Some((7 * MIB, MIB)));
    for start in 0..ranges.len() {
        let page = image.metadata_ranges(u64::try_from(start).unwrap(), 1).unwrap();
        assert_eq!(page, ranges[start..=start]);
    }
    assert_eq!(image.metadata_ranges(u64::try_from(ranges.len()).unwrap(), 1).unwrap(), []);
}

#[test]
fn pages_may_end_anywhere() {
    let mut image = open_bytes(&Forge::differencing().bytes).unwrap();
    let whole = whole_map(&mut image, 100).unwrap();
    assert_eq!(whole_map(&mut image, 1).unwrap(), whole);
    for (start, end) in
        [(MIB + 100, MIB + 700), (MIB + 8 * SECTOR + 1, MIB + 9 * SECTOR + 1), (2 * MIB - 1, 2 * MIB + 1)]
    {
        let page = image.extents(start, end, 100).unwrap();
        assert!(page.done && page.resume == end);
        for extent in page.extents {
            let outer = whole.iter().rfind(|outer| outer.offset <= extent.offset).unwrap();
            assert!(
                outer.kind == extent.kind && extent.offset + extent.length <= outer.offset + outer.length
            );
            if extent.kind == ExtentKind::Data {
                assert_eq!(extent.source_offset - outer.source_offset, extent.offset - outer.offset);
            }
        }
    }
}

#[test]
fn any_bitmap_is_read_sector_by_sector() {
    let mut numbers = Numbers::new(11);
    for sector in [512_u64, 4096] {
        let mut forge = Forge::differencing();
        let sectors = MIB / sector;
        let bits: Vec<u8> = (0..sectors / 8)
            .map(|_| {
                [0, 0xff, 0x0f, u8::try_from(numbers.below(256)).unwrap()]
                    [usize::try_from(numbers.below(4)).unwrap()]
            })
            .collect();
        forge
            .u32(ITEMS + 32, u32::try_from(sector).unwrap())
            .put(7 * MIB, &[0; 8192])
            .put(7 * MIB + sectors / 8, &bits);
        if sector == 4096 {
            forge.bat(4096, 0).u32(192 * 1024 + 40, 1 << 20);
            // One chunk has 32768 blocks: the bitmap's entry is behind them.
            forge.bat(32768, (7 * MIB) | 6);
        }
        let mut image = open_bytes(&forge.bytes).unwrap();
        for index in 0..sectors {
            let at = MIB + index * sector;
            let page = image.extents(at, at + sector, 4).unwrap();
            let here = bits[usize::try_from(index / 8).unwrap()] >> (index % 8) & 1 == 1;
            let kind = if here { ExtentKind::Data } else { ExtentKind::Hole };
            assert_eq!((page.extents.len(), page.extents[0].kind), (1, kind), "sector {index}");
            assert!(!here || page.extents[0].source_offset == 6 * MIB + index * sector);
        }
    }
}

#[test]
fn the_parent_is_text_and_an_identity() {
    let mut image = open_bytes(&Forge::differencing().bytes).unwrap();
    let info = image.info().unwrap();
    assert_eq!(info.subformat.as_deref(), Some("differencing"));
    assert_eq!(info.facts["parent-id"], "aaaabbbb-cccc-dddd-eeee-ffff00001111");
    assert_eq!(info.facts["has-parent"], "true");
    let parent = image.sources().unwrap().remove(1);
    assert_eq!(
        (parent.role.as_str(), parent.reference.as_str(), parent.required),
        ("parent", ".\\base.vhdx", true)
    );
    assert_eq!(guid(LINKAGE)[..4], [0xbb, 0xbb, 0xaa, 0xaa]);
}

#[test]
fn locators() {
    let id = "{aaaabbbb-cccc-dddd-eeee-ffff00001111}";
    let with = |keys: &[(&str, &str)]| {
        let mut forge = Forge::differencing();
        forge.locator(keys);
        forge
    };
    let opened = |keys: &[(&str, &str)]| open_bytes(&with(keys).bytes).unwrap();
    let absolute =
        [("absolute_win32_path", "\\\\?\\C:\\base.vhdx"), ("volume_path", "\\\\?\\Volume{1}\\base.vhdx")];
    let path = |keys: &[(&str, &str)]| {
        opened(&[&[("parent_linkage", id)], keys].concat()).sources().unwrap().remove(1).reference
    };
    assert_eq!(path(&absolute), absolute[0].1);
    assert_eq!(path(&absolute[1..]), absolute[1].1);
    assert_eq!(path(&[absolute[1], ("relative_path", "../etc/passwd")]), "../etc/passwd");
    let mut image =
        opened(&[("parent_linkage", id), ("parent_linkage2", &id.replace('1', "2")), absolute[0]]);
    assert_eq!(image.info().unwrap().facts["parent-id-2"], "aaaabbbb-cccc-dddd-eeee-ffff00002222");
    let refused = |keys: &[(&str, &str)]| outcome(&with(keys).bytes);
    assert_eq!(refused(&[]), "corrupt.table");
    assert_eq!(refused(&[absolute[0]]), "corrupt.table", "no linkage");
    assert_eq!(refused(&[("parent_linkage", id)]), "corrupt.table", "no path");
    assert_eq!(refused(&[("parent_linkage", "x"), absolute[0]]), "corrupt.table");
    assert_eq!(refused(&[("parent_linkage", id), absolute[0], absolute[0]]), "corrupt.table");
    let mut forge = with(&[("parent_linkage", id), absolute[0]]);
    forge.u16(ITEMS + 4096 + 18, 65);
    assert_eq!(outcome(&forge.bytes), "limit.table-size");
    for (at, value) in [(20, u32::MAX), (24, 100_000), (28, 0xffff_ffff), (28, 3)] {
        let mut forge = with(&[("parent_linkage", id), absolute[0]]);
        forge.u32(ITEMS + 4096 + at, value);
        assert_eq!(outcome(&forge.bytes), "corrupt.table", "{at} {value}");
    }
    let mut forge = with(&[("parent_linkage", id), absolute[0]]);
    forge.put(ITEMS + 4096, &[0; 16]);
    assert_eq!(outcome(&forge.bytes), "unsupported.feature");
    let mut forge = Forge::differencing();
    forge.u32(METADATA + 32 + 5 * 32 + 20, 4);
    assert_eq!(outcome(&forge.bytes), "corrupt.table", "a locator of four bytes");
    let mut forge = Forge::differencing();
    forge.u32(ITEMS + 4, 0).bat(1, 0);
    assert_eq!(outcome(&forge.bytes), "corrupt.table", "a locator without a parent");
}

#[test]
fn bitmaps_that_cannot_be() {
    let refused = |entry: u64| {
        let mut forge = Forge::differencing();
        forge.bat(4096, entry);
        outcome(&forge.bytes)
    };
    assert_eq!(refused(0), "corrupt.table", "a block is partially there");
    for state in [1, 2, 3, 4, 5, 7] {
        assert_eq!(refused((7 * MIB) | state), "corrupt.table");
    }
    assert_eq!(refused((7 * MIB) | 6 | 1 << 10), "corrupt.table");
    assert_eq!(refused((8 * MIB) | 6), "corrupt.truncated");
    assert_eq!(refused((6 * MIB) | 6), "corrupt.aliased");
    assert_eq!(refused(BAT | 6), "corrupt.aliased");
    let mut forge = Forge::differencing();
    forge.bat(1, 0).bat(4096, 0);
    assert_eq!(outcome(&forge.bytes), "accepted", "no block needs one");
    // 1 MiB is 131072 entries: 31 whole chunks of 4096 blocks and a bitmap, and less than one more.
    let sized = |mut forge: Forge, blocks: u64| {
        forge.u64(ITEMS + 16, blocks * MIB);
        outcome(&forge.bytes)
    };
    assert_eq!(sized(Forge::differencing(), 31 * 4096), "accepted");
    assert_eq!(
        sized(Forge::differencing(), 31 * 4096 + 1),
        "corrupt.table",
        "the last chunk has a bitmap, too"
    );
    assert_eq!(sized(Forge::new(), 131_072 - 31), "accepted");
    assert_eq!(sized(Forge::new(), 131_073 - 31), "corrupt.table");
}
