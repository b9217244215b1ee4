//! Adds to the map of a disk what transports know to be zero.

use std::sync::Arc;

use imprint_ports::{BlockSource, ByteRange, Segment};

use crate::{
    error::EngineError,
    limits::Limits,
    map::{
        extent_map::{Content, ExtentMap, MapBuilder, Piece},
        scratch::Scratch,
    },
};

/// The shortest run of data in which holes of the transport are searched, in bytes.
const REFINE_FROM: u64 = 1 << 20;
/// The number of bytes in one request to a transport: at most 262 144 blocks of 4 KiB, which take 6
/// MiB as segments.
const REFINE_STEP: u64 = 1 << 30;
/// The number of segments after which no transport is asked any more.
const MAX_SEGMENTS: usize = 1 << 22;

/// Replaces holes by zeroes, and data that the transport knows to be zero too.
pub(super) fn refine(
    map: ExtentMap,
    sources: &[Arc<dyn BlockSource>],
    limits: &Limits,
    scratch: &Scratch,
) -> Result<ExtentMap, EngineError> {
    if !map.has_holes() && map.longest_data() < REFINE_FROM {
        return Ok(map);
    }
    let mut refined = MapBuilder::new(map.size(), limits.extents).with_scratch(scratch);
    let mut asked = 0;
    for piece in &map {
        let piece = piece?;
        let ByteRange { offset, length } = piece.range;
        match piece.content {
            Content::Zero | Content::Hole => refined.push_until(offset + length, Content::Zero)?,
            Content::Data { source, at } if length >= REFINE_FROM => {
                let bytes = sources[usize::from(source)].as_ref();
                refine_data(
                    &mut refined,
                    (bytes, source),
                    ByteRange { offset: at, length },
                    &mut asked,
                    scratch,
                )?;
            }
            Content::Encoded(_) | Content::Data { .. } => refined.push(piece)?,
        }
    }
    Ok(refined.finish()?)
}

/// Adds a run of data, as its transport describes it. A part that the transport is not asked about
/// counts as data: its zeroes are found later, by reading it.
fn refine_data(
    refined: &mut MapBuilder,
    (bytes, source): (&dyn BlockSource, u16),
    stored: ByteRange,
    asked: &mut usize,
    scratch: &Scratch,
) -> Result<(), EngineError> {
    let (start, end) = (stored.offset, stored.offset + stored.length);
    let moved = refined.at();
    let mut at = start;
    while at < end {
        let enough = *asked >= MAX_SEGMENTS || (refined.is_large() && !scratch.has_files());
        let step =
            ByteRange { offset: at, length: if enough { end - at } else { (end - at).min(REFINE_STEP) } };
        let segments = if enough {
            vec![Segment { range: step, zero: false }]
        } else {
            bytes.segments(step).map_err(|error| EngineError::read(step.offset, step.length, error))?
        };
        *asked += segments.len();
        for Segment { range, zero } in segments {
            debug_assert_eq!(range.offset, at, "transports describe without gaps");
            let offset = moved + (range.offset - start);
            let content = if zero { Content::Zero } else { Content::Data { source, at: range.offset } };
            refined.push(Piece { range: ByteRange { offset, length: range.length }, content })?;
            at += range.length;
        }
    }
    Ok(())
}
