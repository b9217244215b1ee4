//! What holds for any bytes: an answer or a typed error, never a panic, never an extent outside of
//! the file.

use std::collections::BTreeMap;

use imprint_plugin_sdk::{
    format::{ExtentKind, Image as _},
    types::props,
};
use proptest::prelude::*;

use crate::{
    forge::{BAT, DATA, Forge, LayerSpec, put, seal},
    support::{all_findings, open_bytes, open_with, whole_disk},
};

/// Opens and asks for everything that is bounded.
fn exercise(bytes: &[u8], salvage: bool) {
    let options = if salvage { props([("salvage", "true")]) } else { props([]) };
    let Ok(mut image) = open_with(bytes, &options) else { return };
    let info = image.info().unwrap();
    assert!(!image.sources().unwrap().is_empty());
    let file = u64::try_from(bytes.len()).unwrap();
    if let Ok(ranges) = image.metadata_ranges(0, 100) {
        assert!(ranges.iter().all(|range| range.offset + range.length <= file));
    }
    for start in [0, info.virtual_size / 1024 * 512, info.virtual_size.saturating_sub(512)] {
        let Ok(page) = image.extents(start, info.virtual_size, 500) else { continue };
        let mut at = start;
        for extent in page.extents {
            assert_eq!(extent.offset, at);
            at += extent.length;
            if extent.kind == ExtentKind::Data {
                assert!(extent.source_offset + extent.length <= file);
            }
        }
        assert!(at <= info.virtual_size);
        assert_eq!(page.resume, at);
    }
    assert!(all_findings(&mut image, 100).is_ok_and(|findings| findings.len() <= 10_010));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_never_panic(flips in prop::collection::vec((0..2100_usize, 0..8_u32), 1..6), salvage: bool) {
        let mut bytes = Forge::differencing().bytes;
        for (at, bit) in flips {
            bytes[at] ^= 1 << bit;
        }
        exercise(&bytes, salvage);
    }

    #[test]
    fn any_fields_never_panic(
        fields in prop::collection::vec((0..64_usize, any::<u64>(), 0..64_u32), 1..4),
        footers in prop::collection::vec((1..11_usize, any::<u64>(), 0..64_u32), 0..2),
    ) {
        let mut forge = Forge::differencing();
        for (index, value, shift) in fields {
            forge.header(|header| put(header, 8 + index * 8, &(value >> shift).to_be_bytes()));
        }
        for (index, value, shift) in footers {
            forge.footers(|footer| put(footer, index * 8, &(value >> shift).to_be_bytes()));
        }
        exercise(&forge.bytes, false);
    }

    #[test]
    fn any_table_never_panics(words in prop::collection::vec((0..128_usize, any::<u32>(), 0..32_u32), 1..20)) {
        let mut forge = Forge::new();
        for (index, word, shift) in words {
            put(&mut forge.bytes, usize::try_from(BAT).unwrap() + index * 4, &(word >> shift).to_be_bytes());
        }
        exercise(&forge.bytes, false);
    }

    #[test]
    fn any_bytes_behind_the_mark_never_panic(tail in prop::collection::vec(any::<u8>(), 0..600), sealed: bool) {
        let mut bytes = b"conectix".to_vec();
        bytes.extend(tail);
        bytes.resize(5000, 0);
        if sealed {
            seal(&mut bytes[..512], 64);
        }
        exercise(&bytes, false);
        let mut tail = vec![0; 4488];
        tail.extend(&bytes[..512]);
        exercise(&tail, true);
    }

    #[test]
    fn any_bitmap_is_followed_sector_by_sector(bits in prop::collection::vec(any::<u8>(), 128..129)) {
        let mut forge = Forge::new();
        let at = usize::try_from(DATA).unwrap();
        put(&mut forge.bytes, at, &bits);
        let disk = whole_disk(&mut open_bytes(&forge.bytes).unwrap(), &forge.bytes, &[]);
        for (sector, bytes) in disk.chunks(512).take(1024).enumerate() {
            let expected = if bits[sector / 8] & (0x80 >> (sector % 8)) == 0 { 0 } else { 0x5a };
            prop_assert!(bytes.iter().all(|byte| *byte == expected));
        }
    }

    #[test]
    fn a_chain_of_any_writes_is_the_model(
        layers in prop::collection::vec(prop::collection::btree_map(0..4096_u64, any::<u8>(), 0..40), 1..4),
    ) {
        let mut model = vec![0_u8; 2 << 20];
        let mut disk = Vec::new();
        for (number, layer) in (0_u8..).zip(&layers) {
            let sectors: BTreeMap<u64, [u8; 512]> =
                layer.iter().map(|(sector, byte)| (*sector, [*byte; 512])).collect();
            let sectors: Vec<_> = sectors.into_iter().collect();
            for (sector, content) in &sectors {
                put(&mut model, usize::try_from(sector * 512).unwrap(), content);
            }
            let parent = (number > 0).then_some(([number; 16], "below.vhd"));
            let spec = LayerSpec { size: 2 << 20, block: 512 << 10, id: [number + 1; 16], parent, sectors: &sectors };
            let bytes = spec.bytes();
            disk = whole_disk(&mut open_bytes(&bytes).unwrap(), &bytes, &disk);
        }
        prop_assert!(disk == model);
    }
}
