//! The map of the disk: which virtual bytes are where in the file.

use std::ops::ControlFlow;

use imprint_plugin_sdk::{
    format::{Budget, FormatError, MapBuilder, Page},
    host::Blob,
};

use crate::{bat::Block, bitmap::run, blocks::Blocks, footer::Kind, geometry::SECTOR};

/// The most extents of a page, whatever is asked for.
const MAX_EXTENTS: u32 = 8192;

/// Describes `[start, end)` of a disk of `virtual_size` bytes, at most `max` extents and a bounded
/// number of bitmaps a call. Without `blocks` the disk's bytes are the file's.
pub(crate) fn page(
    blob: &dyn Blob,
    kind: Kind,
    virtual_size: u64,
    blocks: Option<&mut Blocks>,
    (start, end): (u64, u64),
    max: u32,
) -> Result<Page, FormatError> {
    let end = end.min(virtual_size);
    let mut map = MapBuilder::new(start.min(end), end, max.clamp(1, MAX_EXTENTS))?;
    let Some(blocks) = blocks else {
        let _one_extent_is_all = map.data(end - map.cursor(), 0, map.cursor())?;
        return Ok(map.finish());
    };
    let block_size = blocks.bat.block_size();
    let last = end.div_ceil(block_size);
    let mut budget = Budget::of_a_call();
    let mut flow = ControlFlow::Continue(());
    while flow.is_continue() && !map.is_full() && budget.is_left() {
        let index = map.cursor() / block_size;
        flow = match blocks.bat.next_block(blob, index, last)? {
            Some(block) if block.index == index => {
                let bits = blocks.bitmaps.load(blob, &mut blocks.bat, block, last, &mut budget)?;
                push_block(&mut map, kind, block_size, block, bits, virtual_size)?
            }
            found => {
                let until = found.map_or(end, |block| block.index * block_size);
                budget.spend((until - map.cursor()) / block_size);
                let length = until - map.cursor();
                absent(&mut map, kind, length)?
            }
        };
    }
    Ok(map.finish())
}

/// What this layer does not have: in a differencing disk the parent has it, in a dynamic one it is
/// zero.
fn absent(map: &mut MapBuilder, kind: Kind, length: u64) -> Result<ControlFlow<()>, FormatError> {
    match kind {
        Kind::Differencing => Ok(map.hole(length)?),
        Kind::Fixed | Kind::Dynamic => Ok(map.zero(length)?),
    }
}

/// Adds what is left of the block at the map's cursor.
fn push_block(
    map: &mut MapBuilder,
    kind: Kind,
    block_size: u64,
    block: Block,
    bits: &[u8],
    virtual_size: u64,
) -> Result<ControlFlow<()>, FormatError> {
    let first = block.index * block_size;
    let end = (first + block_size).min(virtual_size);
    loop {
        let into = map.cursor() - first;
        let (has, sectors) = run(bits, into / SECTOR, (end - first).div_ceil(SECTOR));
        let length = (into / SECTOR + sectors) * SECTOR - into;
        let length = length.min(end - map.cursor());
        let flow =
            if has { map.data(length, 0, block.payload() + into)? } else { absent(map, kind, length)? };
        if flow.is_break() || map.cursor() >= end {
            return Ok(flow);
        }
    }
}
