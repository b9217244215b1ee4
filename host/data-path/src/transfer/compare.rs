//! How two disks differ.

use imprint_ports::ByteRange;
use serde::{Deserialize, Serialize};

use super::context::OperationContext;
use crate::{
    disk::Disk,
    error::EngineError,
    map::extent_map::MapError,
    util::num::{to_u64, to_usize},
};

/// The number of bytes that are compared at once.
const WINDOW: u64 = 1 << 20;

/// How two disks differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// Same size, same bytes.
    Identical,
    /// Same bytes up to the end of the shorter disk; the rest of the longer one is zero.
    SizeOnly {
        /// The size of the first disk in bytes.
        first: u64,
        /// The size of the second disk in bytes.
        second: u64,
    },
    /// Different bytes.
    Content {
        /// The offset of the first byte that differs; behind the end of the shorter disk its bytes
        /// count as zero.
        offset: u64,
    },
}

/// Compares two disks byte for byte. Blocks.
pub(crate) fn compare_disks(
    first: &Disk,
    second: &Disk,
    context: &OperationContext,
) -> Result<Comparison, EngineError> {
    let OperationContext { cancel, progress, .. } = context;
    let mut readers = [first.reader(), second.reader()];
    let mut windows = [vec![0; to_usize(WINDOW)], vec![0; to_usize(WINDOW)]];
    let end = first.size().max(second.size());
    progress.add_total(first.map().stored_bytes() + second.map().stored_bytes());
    let mut at = 0;
    while let Some(found) = next_stored([first, second], at)? {
        if cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        let start = found / WINDOW * WINDOW;
        let length = WINDOW.min(end - start);
        for ((disk, reader), window) in [first, second].iter().zip(&mut readers).zip(&mut windows) {
            let has = to_usize(disk.size().saturating_sub(start).min(length));
            if has > 0 {
                reader.read_at(&mut window[..has], start)?;
            }
            window[has..].fill(0);
            progress.count_done(disk.map().stored_in(ByteRange { offset: start, length })?);
        }
        let [a, b] = [&windows[0][..to_usize(length)], &windows[1][..to_usize(length)]];
        if a != b {
            let differs = a.iter().zip(b).position(|(a, b)| a != b).map_or(length, to_u64);
            return Ok(Comparison::Content { offset: start + differs });
        }
        at = start + length;
    }
    Ok(if first.size() == second.size() {
        Comparison::Identical
    } else {
        Comparison::SizeOnly { first: first.size(), second: second.size() }
    })
}

/// Returns the first byte at or behind `from` that one of the disks stores.
fn next_stored(disks: [&Disk; 2], from: u64) -> Result<Option<u64>, MapError> {
    let [first, second] = disks.map(|disk| disk.map().next_stored(from));
    Ok(first?.into_iter().chain(second?).min())
}
