use proptest::prelude::*;

use super::*;

const UNIT: u32 = 4096;

fn rules(align: u64, verbatim_align: u64) -> UnitRules {
    UnitRules {
        data_start: 10_000,
        unit: UNIT,
        align,
        verbatim_align,
        align_data: 1,
        frame: Frame::parse(&[]).unwrap(),
        skip_zero: true,
        codec: Some(CodecKind::Zstd),
        verbatim_if_larger: true,
        max_encoded: UNIT - 1,
        interleave_every: 0,
    }
}

proptest! {
    #[test]
    fn placements_are_aligned_disjoint_and_complete(
        batches in prop::collection::vec(prop::collection::vec((0..3u64, prop::option::of(1..UNIT)), 0..16), 0..20),
        align in prop::sample::select(vec![1u64, 512]),
        verbatim_align in prop::sample::select(vec![512u64, 4096, 65536]),
        fills_gaps: bool,
    ) {
        let mut placer = Placer::new(rules(align, verbatim_align), fills_gaps);
        let (mut wanted, mut empty) = (Vec::new(), Empty::new());
        let mut offset = 0;
        for batch in batches {
            let mut units: Vec<Unit> = batch.into_iter().map(|(skip, length)| {
                offset += (skip + 1) * u64::from(UNIT);
                Unit { offset, encoded: length.map(|length| Encoded { at: 0, length }), file_offset: 0, joined: false }
            }).collect();
            placer.begin_batch();
            placer.place(&mut units, &mut empty).unwrap();
            wanted.extend(units);
        }
        let (end, reports) = (placer.end(), placer.take_reports());
        empty.push(placer.last_gap());
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
        // Padding between units that are written in one go is written, too.
        for unit in wanted.iter().filter(|unit| unit.joined) {
            let before = ranges.iter().map(|range| range.1).filter(|end| *end <= unit.file_offset).max();
            empty.extend(before.map(|end| (end, unit.file_offset)));
        }
        ranges.extend(empty.iter().filter(|(start, end)| start < end));
        ranges.sort_unstable();
        prop_assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0), "no overlap, and nothing forgotten");
        prop_assert!(ranges.is_empty() || (ranges[0].0 == 10_000 && ranges[ranges.len() - 1].1 == end));
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
fn contradictory_rules_are_refused() {
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
    assert_eq!(code(|rules| rules.data_start = u64::MAX), bad);
    assert_eq!(code(|rules| rules.align_data = 4097), bad);
    assert_eq!(code(|rules| (rules.align, rules.align_data, rules.frame) = (512, 4096, literal(500))), bad);
    assert_eq!(
        code(|rules| (rules.align, rules.align_data, rules.frame) = (512, 4096, literal(512))),
        Ok(())
    );
    assert_eq!(code(|rules| rules.frame = literal(65537)), bad);
    assert_eq!(code(|rules| rules.max_encoded = 65536 * 2 + 4096), Ok(()));
    assert_eq!(code(|rules| rules.max_encoded = 65536 * 2 + 4097), bad);
    assert_eq!(code(|rules| (rules.verbatim_if_larger, rules.max_encoded) = (true, 65537)), bad);
    assert_eq!(code(|rules| (rules.identity, rules.interleave_every) = (true, 1)), bad);
    assert_eq!(
        code(|rules| rules.codec = Some(imprint_ports::Codec { name: "lzma".to_owned(), params: [].into() })),
        Err("unsupported.layout".to_owned())
    );
}

fn literal(length: usize) -> Vec<FrameField> {
    vec![FrameField::Literal(vec![0xFF; length])]
}

#[test]
fn payload_behind_a_frame_is_aligned() {
    let framed = UnitRules {
        align: 512,
        verbatim_align: 512,
        align_data: 4096,
        frame: Frame::parse(&literal(512)).unwrap(),
        codec: None,
        ..rules(512, 512)
    };
    let mut placer = Placer::new(framed, true);
    let unit = |offset| Unit { offset, encoded: None, file_offset: 0, joined: false };
    let mut units = [unit(0), unit(4096)];
    let mut empty = Empty::new();
    placer.place(&mut units, &mut empty).unwrap();
    assert_eq!(units.map(|unit| unit.file_offset), [3 * 4096 - 512, 5 * 4096 - 512]);
    assert_eq!(empty, [(10_000, 3 * 4096 - 512), (4 * 4096, 5 * 4096 - 512)]);
    let reports = placer.take_reports();
    assert_eq!(reports[0].iter().map(|run| run.length).collect::<Vec<_>>(), [4096, 4096]);
}

#[test]
fn a_frame_says_where_and_how_long_its_unit_is() {
    let fields =
        [FrameField::AddressU64Le(128), FrameField::StoredLengthU32Le, FrameField::Literal(b"end".to_vec())];
    let frame = Frame::parse(&fields).unwrap();
    let mut out = [0xEE; 16];
    frame.write(3, 77, &mut out);
    assert_eq!(out[..8], (3u64 * 128).to_le_bytes());
    assert_eq!(out[8..12], 77u32.to_le_bytes());
    assert_eq!(out[12..], *b"end\xEE");
}

#[test]
fn the_gap_before_verbatim_units_is_used() {
    let mut placer = Placer::new(rules(1, 4096), true);
    let mut empty = Empty::new();
    let unit = |offset, length: Option<u32>| Unit {
        offset,
        encoded: length.map(|length| Encoded { at: 0, length }),
        file_offset: 0,
        joined: false,
    };
    let mut first = [unit(0, Some(100)), unit(4096, None)];
    placer.place(&mut first, &mut empty).unwrap();
    assert_eq!(first.map(|unit| unit.file_offset), [10_000, 12_288]);
    let mut second = [unit(8192, Some(2000)), unit(12288, Some(1000)), unit(16384, Some(100))];
    placer.begin_batch();
    placer.place(&mut second, &mut empty).unwrap();
    assert_eq!(second.map(|unit| unit.file_offset), [10_100, 16_384, 12_100]);
    assert_eq!((placer.end(), placer.last_gap()), (17_384, (12_200, 12_288)));
}
