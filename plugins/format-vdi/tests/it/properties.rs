//! What holds for any bytes: an answer or a typed error, never a panic, never an extent outside of
//! the file.

use format_vdi::Vdi;
use imprint_plugin_sdk::{
    format::{CreateRequest, ExtentKind, Format, Layout as _, Placed},
    types::Props,
};
use proptest::prelude::*;

use crate::{
    hostile::{MAP, put, valid},
    support::{all_findings, faults, is_refused, open_bytes, whole_map},
};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_words_never_panic_and_never_alias(
        fields in prop::collection::vec((0x10..0x80_usize, any::<u32>(), 0..32_u32), 0..3),
        entries in prop::collection::vec(prop_oneof![0..4_u32, any::<u32>()], 4),
    ) {
        let mut bytes = valid();
        fields.iter().for_each(|(at, word, shift)| put(&mut bytes, at * 4, word >> shift));
        for (index, entry) in entries.iter().enumerate() {
            put(&mut bytes, MAP + index * 4, *entry);
        }
        if let Ok(mut image) = open_bytes(&bytes) {
            let refused = is_refused(&mut image, u64::try_from(bytes.len()).unwrap());
            let found = faults(&all_findings(&mut image, 100).unwrap());
            prop_assert!(!refused || !found.is_empty(), "the host refuses what the check passes");
        }
    }

    #[test]
    fn what_was_placed_is_what_is_read(blocks in prop::collection::vec((any::<bool>(), any::<bool>()), 1..700), page in 512..4000_u32) {
        const UNIT: u64 = 1 << 20;
        let virtual_size = u64::try_from(blocks.len()).unwrap() * UNIT - 512;
        let mut layout = Vdi::begin_layout(&CreateRequest {
            virtual_size,
            allocated: 0,
            subformat: Some("dynamic".to_owned()),
            options: Props::new(),
            append_only: true,
            parent: None,
        }).unwrap();
        let mut end = layout.rules().data_start;
        let (mut runs, mut slots) = (Vec::new(), 0);
        for (offset, (stored, jump)) in (0..).step_by(1 << 20).zip(&blocks) {
            // A jump leaves a block of the file out, as long as all of them still have a number
            // that the map can hold.
            if !stored || slots + 2 > blocks.len() {
                continue;
            }
            slots += 1 + usize::from(*jump);
            let file_offset = end + if *jump { UNIT } else { 0 };
            runs.push(Placed { offset, length: UNIT.min(virtual_size - offset), file_offset, stored_length: 0 });
            end = file_offset + UNIT;
        }
        layout.placed(&runs).unwrap();
        let mut head = vec![0; usize::try_from(layout.rules().data_start).unwrap()];
        let (mut start, mut size) = (0, None);
        while size.is_none() {
            let part = layout.metadata(end, start, page).unwrap();
            for segment in part.segments {
                let at = usize::try_from(segment.file_offset).unwrap();
                head[at..at + segment.bytes.len()].copy_from_slice(&segment.bytes);
            }
            (start, size) = (part.resume, part.final_size);
        }
        let blob = imprint_plugin_sdk::mock::MemBlob::new(head).with_size(size.unwrap());
        let mut image = Vdi::open(Box::new(blob), &Props::new()).unwrap();
        let mut read = Vec::new();
        for extent in whole_map(&mut image, 100).unwrap() {
            for at in (0..extent.length).step_by(1 << 20).filter(|_| extent.kind == ExtentKind::Data) {
                read.push((extent.offset + at, UNIT.min(extent.length - at), extent.source_offset + at));
            }
        }
        let placed: Vec<_> = runs.iter().map(|run| (run.offset, run.length, run.file_offset)).collect();
        prop_assert_eq!(read, placed);
    }
}
