//! What holds for any bytes: an answer or a typed error, never a panic, never a disk outside of the
//! file.

use format_ova::Ova;
use imprint_plugin_sdk::{
    format::{Format, Image as _},
    mock::MemBlob,
    types::Props,
};
use proptest::prelude::*;

use crate::forge::good;

fn exercise(bytes: Vec<u8>) {
    let _guess = Ova::probe(&bytes, &[], 0);
    let file = u64::try_from(bytes.len()).unwrap();
    let Ok(mut image) = Ova::open(Box::new(MemBlob::new(bytes)), &Props::new()) else { return };
    let size = image.info().unwrap().virtual_size;
    for extent in image.extents(0, size, 10).unwrap().extents {
        assert!(extent.source_offset + extent.length <= file);
    }
    assert!(image.metadata_ranges(0, 10).unwrap().iter().all(|range| range.offset + range.length <= file));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_never_panic(flips in prop::collection::vec((0..3000_usize, any::<u8>()), 1..6), fix: bool) {
        let mut bytes = good(&[9; 700]).file("a.mf", b"").end();
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if fix {
            // With a right checksum the fields behind it are looked at.
            bytes[148..156].fill(b' ');
            let sum: u64 = bytes[..512].iter().map(|byte| u64::from(*byte)).sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        exercise(bytes);
    }

    #[test]
    fn any_markup_never_panics(pieces in prop::collection::vec("(<[/!?]?|a|:|=|\"|'|>|/>|&[a-z#]{0,3};?|<!--|-->|<Disk|ovf:| |é)", 0..40)) {
        let text = pieces.concat();
        exercise(crate::forge::Tar::default().file("a.ovf", text.as_bytes()).end());
    }
}
