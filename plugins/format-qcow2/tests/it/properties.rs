//! What holds for any bytes: an answer or a typed error, never a panic, never an extent outside of the file.

use imprint_plugin_sdk::format::{ExtentKind, Image as _};
use proptest::prelude::*;

use crate::{
    forge::{CLUSTER, Forge, L1, L2, REFCOUNT_TABLE},
    support::open_bytes,
};

/// Opens and asks for everything that is bounded.
fn exercise(bytes: &[u8]) {
    let Ok(mut image) = open_bytes(bytes) else { return };
    let info = image.info().unwrap();
    assert!(!image.sources().unwrap().is_empty());
    let file = u64::try_from(bytes.len()).unwrap();
    if let Ok(ranges) = image.metadata_ranges(0, 100) {
        assert!(ranges.iter().all(|range| range.offset + range.length <= file));
    }
    for start in [0, info.virtual_size / 2, info.virtual_size.saturating_sub(CLUSTER)] {
        let Ok(page) = image.extents(start, info.virtual_size, 500) else { continue };
        let mut at = start.min(info.virtual_size);
        for extent in page.extents {
            assert_eq!(extent.offset, at);
            at += extent.length;
            let stored = match extent.kind {
                ExtentKind::Data => extent.length,
                ExtentKind::Encoded => u64::from(extent.source_length),
                ExtentKind::Zero | ExtentKind::Hole => 0,
            };
            assert!(extent.source_offset + stored <= file);
        }
        assert!(at <= info.virtual_size);
        assert_eq!(page.resume, at);
    }
    let mut start = 0;
    for _ in 0..4 {
        let Ok(page) = image.check(start, 10) else { break };
        assert!(page.items.len() <= 10);
        if page.done {
            break;
        }
        assert!(page.resume > start);
        start = page.resume;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_in_the_header_never_panic(flips in prop::collection::vec((0..160_usize, 0..8_u32), 1..6)) {
        let mut bytes = Forge::new().backing("parent").bytes.clone();
        for (at, bit) in flips {
            bytes[at] ^= 1 << bit;
        }
        exercise(&bytes);
    }

    #[test]
    fn any_words_in_the_tables_never_panic(
        words in prop::collection::vec((0..3_usize, 0..64_u64, any::<u64>(), 0..64_u32), 1..20),
        extended: bool,
    ) {
        let mut forge = Forge::new();
        if extended {
            forge.u64(72, 1 << 4).u32(36, 4);
        }
        for (table, index, word, shift) in words {
            forge.u64([L1, L2, REFCOUNT_TABLE][table] + index * 8, word >> shift);
        }
        exercise(&forge.bytes);
    }

    #[test]
    fn any_header_fields_never_panic(fields in prop::collection::vec((0..14_u64, any::<u64>(), 0..64_u32), 1..4)) {
        let mut forge = Forge::new();
        for (index, value, shift) in fields {
            forge.u64(4 + index * 8, value >> shift);
        }
        exercise(&forge.bytes);
    }

    #[test]
    fn any_bytes_behind_the_magic_never_panic(tail in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = vec![0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3];
        bytes.extend(tail);
        bytes.resize(200_000, 0);
        exercise(&bytes);
    }
}
