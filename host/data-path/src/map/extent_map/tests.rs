use proptest::prelude::*;

use super::*;
use crate::{map::scratch::Scratch, util::num::to_usize};

/// What one byte of a disk is, in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Byte {
    Zero,
    Hole,
    Data { source: u16, at: u64 },
    Encoded { source: u16, codec: u16, at: u64, stored: u32, unit: u32, within: u32 },
}

fn expand(piece: &Piece) -> impl Iterator<Item = Byte> + '_ {
    (0..piece.range.length).map(|n| match piece.content {
        Content::Zero => Byte::Zero,
        Content::Hole => Byte::Hole,
        Content::Data { source, at } => Byte::Data { source, at: at + n },
        Content::Encoded(EncodedUnit { source, codec, at, stored, unit, skip }) => {
            Byte::Encoded { source, codec, at, stored, unit, within: skip + u32::try_from(n).unwrap() }
        }
    })
}

/// Pieces in a row, often ones that can be merged.
fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let piece = (0..6u8, 1..9u64, 0..2u16, any::<bool>(), 1..5u32);
    prop::collection::vec(piece, 1..40).prop_map(|choices| {
        let mut pieces: Vec<Piece> = Vec::new();
        let (mut offset, mut at) = (0, 0u64);
        for (kind, length, index, follow, unit_choice) in choices {
            if !follow {
                at += 1000;
            }
            let unit = unit_choice * 2;
            let content = match kind {
                0 => Content::Zero,
                1 => Content::Hole,
                2 | 3 => Content::Data { source: index, at },
                4 => {
                    Content::Encoded(EncodedUnit { source: index, codec: 0, at, stored: 3, unit: 8, skip: 0 })
                }
                _ => Content::Encoded(EncodedUnit {
                    source: 0,
                    codec: index,
                    at,
                    stored: unit,
                    unit,
                    skip: unit / 2,
                }),
            };
            let length = match content {
                Content::Encoded(EncodedUnit { unit, skip, .. }) => length.min(u64::from(unit - skip)),
                Content::Zero | Content::Hole | Content::Data { .. } => length,
            };
            pieces.push(Piece { range: ByteRange { offset, length }, content });
            offset += length;
            at += length;
        }
        pieces
    })
}

fn build(pieces: &[Piece]) -> (ExtentMap, Vec<Byte>) {
    build_in(pieces, &Scratch::memory_only())
}

fn build_in(pieces: &[Piece], scratch: &Scratch) -> (ExtentMap, Vec<Byte>) {
    let model: Vec<Byte> = pieces.iter().flat_map(expand).collect();
    let mut builder = MapBuilder::new(to_u64(model.len()), 100_000).with_scratch(scratch);
    pieces.iter().for_each(|piece| builder.push(*piece).unwrap());
    (builder.finish().unwrap(), model)
}

fn read(map: &ExtentMap, start: usize, end: usize) -> Vec<Byte> {
    let range = ByteRange { offset: to_u64(start), length: to_u64(end - start) };
    let pieces: Vec<Piece> = map.pieces(range).collect::<Result<_, _>>().unwrap();
    let mut at = range.offset;
    for piece in &pieces {
        assert_eq!(piece.range.offset, at, "pieces have no gaps");
        assert!(piece.range.length > 0);
        at += piece.range.length;
    }
    pieces.iter().flat_map(expand).collect()
}

proptest! {
    #[test]
    fn any_range_reads_like_a_byte_array(pieces in pieces(), a: prop::sample::Index, b: prop::sample::Index) {
        let (map, model) = build(&pieces);
        let (a, b) = (a.index(model.len() + 1), b.index(model.len() + 1));
        let (start, end) = (a.min(b), a.max(b));
        prop_assert_eq!(read(&map, start, end), &model[start..end]);
        let stored = |byte: &Byte| matches!(byte, Byte::Data { .. } | Byte::Encoded { .. });
        let next = model[start..].iter().position(stored).map(|n| to_u64(start + n));
        prop_assert_eq!(map.next_stored(to_u64(start)), Ok(next));
        prop_assert_eq!(map.stored_bytes(), to_u64(model.iter().filter(|byte| stored(byte)).count()));
    }

    #[test]
    fn layers_read_like_layered_byte_arrays(top in pieces(), below in pieces()) {
        let (top, top_model) = build(&top);
        let (below, below_model) = build(&below);
        let flat = top.over(&below, 10_000, &Scratch::memory_only()).unwrap();
        let model: Vec<Byte> = top_model
            .iter()
            .enumerate()
            .map(|(n, byte)| match byte {
                Byte::Hole => below_model.get(n).copied().unwrap_or(Byte::Zero),
                Byte::Zero | Byte::Data { .. } | Byte::Encoded { .. } => *byte,
            })
            .collect();
        prop_assert_eq!(read(&flat, 0, model.len()), model);
    }
}

/// As many pieces as fill several chunks: a few, repeated.
fn many(pieces: &[Piece], times: u64) -> Vec<Piece> {
    let length: u64 = pieces.iter().map(|piece| piece.range.length).sum();
    (0..times)
        .flat_map(|time| {
            pieces.iter().map(move |piece| {
                let mut piece = *piece;
                piece.range.offset += time * length;
                match &mut piece.content {
                    Content::Data { at, .. } => *at += time * (1 << 20),
                    Content::Encoded(unit) => unit.at += time * (1 << 20),
                    Content::Zero | Content::Hole => {}
                }
                piece
            })
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_map_in_a_scratch_file_is_the_same(
        pieces in pieces(),
        times in 1..300_u64,
        keep in 0..2000_usize,
        places in prop::collection::vec(any::<prop::sample::Index>(), 20),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::in_folder(folder.path()).with_limits(keep, 0);
        let pieces = many(&pieces, times);
        let (small, _) = build(&pieces);
        let (large, _) = build_in(&pieces, &scratch);
        // The last one may fit next to it.
        prop_assert!(large.scratch().is_some() || small.memory() <= to_u64(keep) + 2 * 44);
        prop_assert!(large.iter().eq(small.iter()));
        let figures = |map: &ExtentMap| {
            (map.size(), map.data_bytes(), map.encoded_bytes(), map.has_holes(), map.longest_data())
        };
        prop_assert_eq!(figures(&large), figures(&small));
        for pair in places.chunks(2) {
            let offset = to_u64(pair[0].index(to_usize(small.size())));
            let length = to_u64(pair[1].index(to_usize(small.size() - offset).min(10_000)));
            let range = ByteRange { offset, length };
            prop_assert!(large.pieces(range).eq(small.pieces(range)));
            prop_assert_eq!(large.stored_in(range), small.stored_in(range));
            prop_assert_eq!(large.next_stored(offset), small.next_stored(offset));
        }
        prop_assert_eq!(large.next_stored(small.size()), Ok(None));
        let (over_large, over_small) =
            (large.over(&large, 1 << 20, &scratch).unwrap(), small.over(&small, 1 << 20, &Scratch::memory_only()).unwrap());
        prop_assert!(over_large.iter().eq(over_small.iter()));
        prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn any_bytes_decode_to_a_sound_chunk_or_to_none(
        bytes in prop::collection::vec(prop_oneof![Just(0u8), 0..4u8, any::<u8>()], 0..400),
        runs in 0..5_usize,
        units in 0..5_usize,
        end in 1..200_u64,
    ) {
        let Some(chunk) = Chunk::decode(&bytes, 0, end, runs, units) else { return Ok(()) };
        let (mut run, mut at) = (0, 0);
        while let Some(piece) = (at < end).then(|| chunk.piece(&mut run, at, end)).flatten() {
            prop_assert_eq!(piece.range.offset, at);
            at += piece.range.length;
        }
        prop_assert_eq!(at, end);
    }
}

#[test]
fn a_large_map_needs_a_scratch_file() {
    let data = |n: u64| Piece {
        range: ByteRange { offset: n * 512, length: 512 },
        content: Content::Data { source: 0, at: (n ^ 1) * 512 },
    };
    let filled = |scratch: Scratch, runs: u64| {
        let mut builder = MapBuilder::new(runs * 512, 1 << 25).with_scratch(&scratch);
        (0..runs).try_for_each(|n| builder.push(data(n)))?;
        builder.finish()
    };
    let error = filled(Scratch::in_folder("/nowhere"), 70_000).unwrap_err();
    assert_eq!(error.code(), "scratch.open");
    assert!(filled(Scratch::in_folder("/nowhere"), 60_000).is_ok(), "it fits into memory");
    let folder = tempfile::tempdir().unwrap();
    let map = filled(Scratch::in_folder(folder.path()), 200_000).unwrap();
    assert!(map.memory() < 512 << 10, "{}", map.memory());
    assert_eq!(map.iter().count(), 200_000);
}

#[test]
fn neighbours_are_merged() {
    let data = |offset, length, at| Piece {
        range: ByteRange { offset, length },
        content: Content::Data { source: 0, at },
    };
    let (map, _) = build(&[data(0, 10, 100), data(10, 5, 110), data(15, 5, 0)]);
    assert_eq!(map.pieces(ByteRange { offset: 0, length: 20 }).count(), 2);
}

#[test]
fn gaps_and_overlaps_are_refused() {
    let zero = |offset, length| Piece { range: ByteRange { offset, length }, content: Content::Zero };
    for wrong in [zero(11, 1), zero(9, 2), zero(10, 0), zero(10, 91), zero(10, u64::MAX)] {
        let mut builder = MapBuilder::new(100, 10);
        builder.push(zero(0, 10)).unwrap();
        assert_eq!(builder.push(wrong).unwrap_err().code(), "plugin.map-order", "{wrong:?}");
    }
    let mut unfinished = MapBuilder::new(100, 10);
    unfinished.push(zero(0, 10)).unwrap();
    assert!(unfinished.finish().is_err());
}

#[test]
fn the_number_of_pieces_is_bounded() {
    let mut builder = MapBuilder::new(100, 3);
    let outcome = (0..100).try_for_each(|offset| {
        let content = Content::Data { source: 0, at: 1000 - offset * 2 };
        builder.push(Piece { range: ByteRange { offset, length: 1 }, content })
    });
    assert_eq!(outcome, Err(MapError::Extents { limit: 3 }));
}
