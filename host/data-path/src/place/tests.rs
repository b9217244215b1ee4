use proptest::prelude::*;

use super::*;

const UNIT: u32 = 4096;

fn rules(align: u64, verbatim_align: u64) -> UnitRules {
    UnitRules {
        data_start: 10_000,
        unit: UNIT,
        align,
        verbatim_align,
        skip_zero: true,
        codec: Some(CodecKind::Zstd),
        verbatim_if_larger: true,
        max_encoded: UNIT - 1,
    }
}

proptest! {
    #[test]
    fn placements_are_aligned_disjoint_and_complete(
        batches in prop::collection::vec(prop::collection::vec((0..3u64, prop::option::of(1..UNIT)), 0..16), 0..20),
        align in prop::sample::select(vec![1u64, 512]),
        verbatim_align in prop::sample::select(vec![512u64, 4096, 65536]),
    ) {
        let mut placer = Placer::new(rules(align, verbatim_align));
        let mut wanted = Vec::new();
        let mut offset = 0;
        for batch in batches {
            let mut units: Vec<Unit> = batch.into_iter().map(|(skip, length)| {
                offset += (skip + 1) * u64::from(UNIT);
                Unit { offset, encoded: length.map(|length| Encoded { at: 0, length }), file_offset: 0 }
            }).collect();
            placer.place(&mut units).unwrap();
            wanted.extend(units);
        }
        let (end, reports) = placer.finish();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for unit in &wanted {
            let (length, align) = match unit.encoded {
                Some(encoded) => (u64::from(encoded.length), align),
                None => (u64::from(UNIT), verbatim_align),
            };
            prop_assert!(unit.file_offset.is_multiple_of(align) && unit.file_offset >= 10_000);
            prop_assert!(unit.file_offset + length <= end);
            ranges.push((unit.file_offset, unit.file_offset + length));
        }
        ranges.sort_unstable();
        prop_assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "no overlap");
        let reported: Vec<(u64, u64, u32)> = reports.into_iter().flatten().flat_map(|run| {
            (0..run.length / u64::from(UNIT)).map(move |n| {
                (run.offset + n * u64::from(UNIT), run.file_offset + n * u64::from(UNIT), run.stored_length)
            })
        }).collect();
        let placed: Vec<(u64, u64, u32)> = wanted
            .iter()
            .map(|unit| (unit.offset, unit.file_offset, unit.encoded.map_or(0, |encoded| encoded.length)))
            .collect();
        prop_assert_eq!(reported, placed, "reports are in the order of the disk, and complete");
    }
}

fn plugin_rules() -> Rules {
    Rules {
        data_start: 0,
        unit: 65536,
        align: 1,
        identity: false,
        skip_zero: true,
        codec: None,
        verbatim_if_larger: false,
        verbatim_align: 0,
        max_encoded: 0,
        align_data: 0,
        frame: Vec::new(),
        interleave_every: 0,
        ascending: true,
    }
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let code = |change: fn(&mut Rules)| {
        let mut rules = plugin_rules();
        change(&mut rules);
        Layout::parse(&rules).map(|_| ()).map_err(|error| error.code().to_owned())
    };
    assert_eq!(code(|_| {}), Ok(()));
    let bad = Err("plugin.rules".to_owned());
    assert_eq!(code(|rules| rules.unit = 0), bad);
    assert_eq!(code(|rules| rules.unit = 65537), bad);
    assert_eq!(code(|rules| rules.unit = 64 << 20), bad);
    assert_eq!(code(|rules| rules.align = 0), bad);
    assert_eq!(code(|rules| rules.verbatim_align = 3), bad);
    assert_eq!(code(|rules| rules.max_encoded = 65537), bad);
    assert_eq!(code(|rules| rules.data_start = u64::MAX), bad);
    let unsupported = Err("unsupported.layout".to_owned());
    assert_eq!(code(|rules| rules.interleave_every = 512), unsupported);
    assert_eq!(code(|rules| rules.frame = vec![crate::ports::FrameField::StoredLengthU32Le]), unsupported);
    assert_eq!(code(|rules| rules.align_data = 4096), unsupported);
}

#[test]
fn the_gap_before_verbatim_units_is_used() {
    let mut placer = Placer::new(rules(1, 4096));
    let unit = |offset, length: Option<u32>| Unit {
        offset,
        encoded: length.map(|length| Encoded { at: 0, length }),
        file_offset: 0,
    };
    let mut first = [unit(0, Some(100)), unit(4096, None)];
    placer.place(&mut first).unwrap();
    assert_eq!(first.map(|unit| unit.file_offset), [10_000, 12_288]);
    let mut second = [unit(8192, Some(2000)), unit(12288, Some(1000)), unit(16384, Some(100))];
    placer.place(&mut second).unwrap();
    assert_eq!(second.map(|unit| unit.file_offset), [10_100, 16_384, 12_100]);
    assert_eq!(placer.finish().0, 17_384);
}
