//! What holds for any bytes: an answer or a typed error, never a panic, never an extent outside of
//! the file.

use format_qcow2::Qcow2;
use imprint_corpus::qcow2::{CLUSTER, Forge, L1, L2, REFCOUNT_TABLE};
use imprint_plugin_sdk::{
    format::{CreateRequest, ExtentKind, Format, Layout as _, Placed},
    types::props,
};
use proptest::prelude::*;

use crate::support::{aliased, all_findings, open_bytes, whole_map};

/// Opens and asks for everything that is bounded.
fn exercise(bytes: &[u8]) {
    let Ok(mut image) = open_bytes(bytes) else { return };
    imprint_format_kit::exercise(&mut image, u64::try_from(bytes.len()).unwrap(), CLUSTER);
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

/// What one cluster of a new disk is: absent, plain, or encoded to this length; and whether the
/// file goes on elsewhere.
fn cluster() -> impl Strategy<Value = (Option<u32>, bool)> {
    prop_oneof![
        4 => Just((None, false)),
        4 => any::<bool>().prop_map(|jump| (Some(0), jump)),
        2 => (1..3584_u32, any::<bool>()).prop_map(|(length, jump)| (Some(length), jump)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_was_placed_is_what_is_read(clusters in prop::collection::vec(cluster(), 1..1500), front: bool, page in 512..9000_u32) {
        const UNIT: u64 = 4096;
        let virtual_size = u64::try_from(clusters.len()).unwrap() * UNIT - 512;
        let mut layout = Qcow2::begin_layout(&CreateRequest {
            virtual_size,
            allocated: if front { u64::MAX } else { 0 },
            subformat: None,
            options: props([("cluster-size", "4096"), ("compress", "zstd")]),
            append_only: false,
            parent: None,
        }).unwrap();
        let mut end = layout.rules().data_start;
        let mut runs = Vec::new();
        for (offset, (stored, jump)) in (0..).step_by(4096).zip(clusters) {
            let Some(stored_length) = stored else { continue };
            end += if jump { 3 * UNIT } else { 0 };
            let file_offset = if stored_length == 0 { end.next_multiple_of(UNIT) } else { end };
            let length = UNIT.min(virtual_size - offset);
            runs.push(Placed { offset, length, file_offset, stored_length });
            end = file_offset + if stored_length == 0 { UNIT } else { stored_length.into() };
        }
        layout.placed(&runs).unwrap();
        let mut bytes = Vec::new();
        let mut start = 0;
        loop {
            let part = layout.metadata(end, start, page).unwrap();
            for segment in part.segments {
                let at = usize::try_from(segment.file_offset).unwrap();
                bytes.resize(bytes.len().max(at + segment.bytes.len()), 0);
                bytes[at..at + segment.bytes.len()].copy_from_slice(&segment.bytes);
            }
            start = part.resume;
            if part.done {
                bytes.resize(usize::try_from(part.final_size.unwrap()).unwrap(), 0);
                break;
            }
        }
        let mut image = open_bytes(&bytes).unwrap();
        prop_assert_eq!(all_findings(&mut image, 10).unwrap(), vec![]);
        prop_assert!(!aliased(&mut image).unwrap());
        let mut read = Vec::new();
        for extent in whole_map(&mut image, 100).unwrap() {
            if extent.kind == ExtentKind::Encoded {
                read.push((extent.offset, extent.length, extent.source_offset, true));
            } else if extent.kind == ExtentKind::Data {
                for at in (0..extent.length).step_by(4096) {
                    read.push((extent.offset + at, UNIT.min(extent.length - at), extent.source_offset + at, false));
                }
            }
        }
        let placed: Vec<_> = runs.iter().map(|run| (run.offset, run.length, run.file_offset, run.stored_length > 0)).collect();
        prop_assert_eq!(read, placed);
    }
}
