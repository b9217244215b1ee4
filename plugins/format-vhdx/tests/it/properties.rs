//! What holds for any bytes: an answer or a typed error, never a panic, never an extent outside of
//! the file.

use format_vhdx::Vhdx;
use imprint_plugin_sdk::{
    format::{CreateRequest, ExtentKind, Format, Image as _, Layout as _, Placed},
    mock::MemBlob,
    types::{Props, props},
};
use proptest::prelude::*;

use crate::{
    forge::{Change, Entry, Forge, ITEMS, METADATA, MIB},
    support::{all_findings, faults, is_refused, open_bytes, whole_map},
};

/// A place in the file, as a block, and a state; both mostly possible ones.
fn entry() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0..9_u64, prop_oneof![Just(0_u64), Just(6), Just(7), 0..8_u64]).prop_map(|(place, state)| (place * MIB) | state),
        1 => any::<u64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_bat_is_sound_or_refused(
        entries in prop::collection::vec(entry(), 8),
        bitmap in entry(),
        differencing: bool,
        bits in prop::collection::vec(any::<u8>(), 64),
    ) {
        let mut forge = if differencing { Forge::differencing() } else { Forge::new() };
        for (index, entry) in (0..).zip(entries) {
            forge.bat(index, entry);
        }
        forge.bat(4096, bitmap).put(7 * MIB + 256, &bits);
        if let Ok(mut image) = open_bytes(&forge.bytes) {
            let refused = is_refused(&mut image, 8 * MIB);
            let found = faults(&all_findings(&mut image, 100).unwrap());
            prop_assert!(!refused || !found.is_empty(), "the host refuses what the check passes");
        }
    }

    #[test]
    fn any_metadata_never_panics(words in prop::collection::vec((0..70_u64, any::<u32>(), 0..32_u32), 1..4)) {
        let mut forge = Forge::differencing();
        for (index, word, shift) in words {
            let at = if index < 56 { METADATA + index * 4 } else { ITEMS + (index - 56) * 4 };
            forge.u32(at, word >> shift);
        }
        if let Ok(mut image) = open_bytes(&forge.bytes) {
            let refused = is_refused(&mut image, 8 * MIB);
            let found = faults(&all_findings(&mut image, 100).unwrap());
            prop_assert!(!refused || !found.is_empty(), "the host refuses what the check passes");
        }
    }

    #[test]
    fn any_log_never_panics(
        start in 0..256_u64,
        targets in prop::collection::vec((0..2048_u64, 0..4_u64), 0..6),
        spoil in prop::collection::vec((0..64_usize, any::<u8>()), 0..2),
    ) {
        let mut forge = Forge::differencing();
        forge.dirty();
        let changes = targets.into_iter().map(|(sector, length)| match length {
            0 => Change::Data(sector * 4096, vec![6; 4096]),
            length => Change::Zero(sector * 4096, length * 4096),
        });
        let mut entry = Entry::new(3, start * 4096, changes.collect()).bytes();
        for (at, byte) in spoil {
            entry[at] ^= byte;
        }
        forge.log(start * 4096, &crate::forge::sealed(entry));
        let forge = forge.seal();
        if let Ok(mut image) = open_bytes(&forge.bytes) {
            prop_assert!(image.info().unwrap().facts.contains_key("log-replay"));
            let _refused = is_refused(&mut image, 8 * MIB);
        }
    }

    #[test]
    fn what_was_placed_is_what_is_read(
        blocks in prop::collection::vec((any::<bool>(), 0..3_u64), 1..400),
        block_bits in 20..26_u32,
        page in 512..9000_u32,
    ) {
        let unit = 1_u64 << block_bits;
        let virtual_size = u64::try_from(blocks.len()).unwrap() * unit - 512;
        let mut layout = Vhdx::begin_layout(&CreateRequest {
            virtual_size,
            allocated: 0,
            subformat: None,
            options: props([("block-size", &unit.to_string())]),
            append_only: true,
            parent: None,
        }).unwrap();
        let start = layout.rules().data_start;
        let (mut end, mut runs) = (start, Vec::new());
        for (offset, (stored, jump)) in (0..).step_by(1 << block_bits).zip(blocks) {
            if stored {
                let file_offset = end + jump * MIB;
                runs.push(Placed { offset, length: unit.min(virtual_size - offset), file_offset, stored_length: 0 });
                end = file_offset + unit;
            }
        }
        layout.placed(&runs).unwrap();
        let mut head = vec![0; usize::try_from(start).unwrap()];
        let (mut token, mut size) = (0, None);
        while size.is_none() {
            let part = layout.metadata(end, token, page).unwrap();
            for segment in part.segments {
                let at = usize::try_from(segment.file_offset).unwrap();
                head[at..at + segment.bytes.len()].copy_from_slice(&segment.bytes);
            }
            (token, size) = (part.resume, part.final_size);
        }
        prop_assert_eq!(size, Some(end));
        let mut image = Vhdx::open(Box::new(MemBlob::new(head).with_size(end)), &Props::new()).unwrap();
        let mut read = Vec::new();
        for extent in whole_map(&mut image, 100).unwrap() {
            for at in (0..extent.length).step_by(1 << block_bits).filter(|_| extent.kind == ExtentKind::Data) {
                read.push((extent.offset + at, unit.min(extent.length - at), extent.source_offset + at));
            }
        }
        let placed: Vec<_> = runs.iter().map(|run| (run.offset, run.length, run.file_offset)).collect();
        prop_assert_eq!(read, placed);
    }
}
