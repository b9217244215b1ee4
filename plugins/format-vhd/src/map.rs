//! The map of the disk: which virtual bytes are where in the file.

use std::ops::ControlFlow;

use imprint_plugin_sdk::format::{MapBuilder, Page};

use crate::{
    bat::Block,
    bitmap::run,
    error::VhdError,
    footer::Kind,
    image::{Blocks, Image},
    wire::SECTOR,
};

/// The most extents of a page, whatever is asked for.
const MAX_EXTENTS: u32 = 8192;
/// Bytes of bitmaps that one call may read.
const BUDGET: u64 = 8 << 20;

impl Image {
    /// Describes `[start, end)` of the disk, at most `max` extents and a bounded number of bitmaps
    /// a call.
    pub(crate) fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<Page, VhdError> {
        let end = end.min(self.virtual_size);
        let mut map = MapBuilder::new(start.min(end), end, max.clamp(1, MAX_EXTENTS))?;
        let kind = self.footer.kind;
        match &mut self.blocks {
            None => {
                // The disk's bytes are the file's.
                let _ = map.data(end - map.cursor(), 0, map.cursor())?;
            }
            Some(blocks) => {
                let mut budget = BUDGET;
                let mut flow = ControlFlow::Continue(());
                while flow.is_continue() && !map.is_full() && budget > 0 {
                    let block_size = blocks.bat.block_size();
                    let index = map.cursor() / block_size;
                    let last = end.div_ceil(block_size);
                    flow = match blocks.bat.next_block(self.blob.as_ref(), index, last)? {
                        Some(block) if block.index == index => {
                            let bits = blocks.bitmaps.load(
                                self.blob.as_ref(),
                                &mut blocks.bat,
                                block,
                                last,
                                &mut budget,
                            )?;
                            push_block(&mut map, kind, block_size, block, bits, self.virtual_size)?
                        }
                        found => {
                            let until = found.map_or(end, |block| block.index * block_size);
                            let length = until - map.cursor();
                            absent(&mut map, kind, length)?
                        }
                    };
                }
            }
        }
        Ok(map.finish())
    }
}

/// What this layer does not have: in a differencing disk the parent has it, in a dynamic one it is
/// zero.
fn absent(map: &mut MapBuilder, kind: Kind, length: u64) -> Result<ControlFlow<()>, VhdError> {
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
) -> Result<ControlFlow<()>, VhdError> {
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

impl Blocks {
    /// The first block of the disk that exists from `index` on; the whole table is looked at.
    pub(crate) fn next(
        &mut self,
        blob: &dyn imprint_plugin_sdk::host::Blob,
        index: u64,
    ) -> Result<Option<Block>, VhdError> {
        let end = self.bat.blocks();
        self.bat.next_block(blob, index, end)
    }
}
