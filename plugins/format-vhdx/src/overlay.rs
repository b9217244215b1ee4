//! The changes of a log that was not played back, in sectors of 4 KiB.

use std::collections::BTreeMap;

use imprint_plugin_sdk::{format::FormatError, types::ByteRange};

use crate::header::CLOSE;

/// Unit of everything that a log changes.
pub(crate) const SECTOR: u64 = 4096;
/// The most pieces of an overlay: about 16 MiB of memory.
const MAX_PIECES: usize = 1 << 18;

/// What replaces a stretch of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patch {
    /// Zeroes.
    Zero,
    /// One sector, whose ends are kept apart from its middle.
    Data(DataSector),
}

/// A sector of data in the log ([MS-VHDX] 2.3.1.3 and 2.3.1.4): the log's own marks took the place
/// of its first 8 and last 4 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataSector {
    /// Where it lies in the file's log.
    pub(crate) at: u64,
    /// The first 8 bytes.
    pub(crate) leading: [u8; 8],
    /// The last 4 bytes.
    pub(crate) trailing: [u8; 4],
}

/// Pieces that lie over the file; later ones cover earlier ones. Payload stays in the log: a piece
/// is a few words.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// By the first byte: the first byte behind, and what it is.
    pieces: BTreeMap<u64, (u64, Patch)>,
}

impl Overlay {
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Lays `[start, end)` over what is there.
    pub(crate) fn cover(&mut self, start: u64, end: u64, patch: Patch) -> Result<(), FormatError> {
        if start >= end {
            return Ok(());
        }
        let covered: Vec<(u64, (u64, Patch))> = self.touching(start, end).collect();
        for (at, (until, old)) in covered {
            self.pieces.remove(&at);
            if at < start {
                self.pieces.insert(at, (start, old));
            }
            if until > end {
                self.pieces.insert(end, (until, old));
            }
        }
        self.pieces.insert(start, (end, patch));
        if self.pieces.len() > MAX_PIECES {
            return Err(FormatError::LogSize(format!(
                "the log changes more than {MAX_PIECES} pieces of the file; {CLOSE}"
            )));
        }
        Ok(())
    }

    /// Whether a piece has a byte in the range.
    pub(crate) fn touches(&self, range: ByteRange) -> bool {
        self.touching(range.offset, range.offset.saturating_add(range.length)).next().is_some()
    }

    /// The pieces that have a byte in `[start, end)`, in descending order.
    pub(crate) fn touching(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, (u64, Patch))> + '_ {
        let below = self.pieces.range(..end).rev();
        below.take_while(move |(_, (until, _))| *until > start).map(|(at, piece)| (*at, *piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(at: u64) -> Patch {
        Patch::Data(DataSector { at, leading: [0; 8], trailing: [0; 4] })
    }

    #[test]
    fn later_pieces_cover_earlier_ones() {
        let mut overlay = Overlay::default();
        overlay.cover(4096, 5 * 4096, Patch::Zero).unwrap();
        overlay.cover(2 * 4096, 3 * 4096, data(1)).unwrap();
        overlay.cover(4 * 4096, 7 * 4096, Patch::Zero).unwrap();
        overlay.cover(6 * 4096, 7 * 4096, data(2)).unwrap();
        overlay.cover(6 * 4096, 7 * 4096, data(3)).unwrap();
        overlay.cover(9, 9, Patch::Zero).unwrap();
        let mut pieces: Vec<_> = overlay.touching(0, u64::MAX).collect();
        pieces.reverse();
        let expected = [
            (4096, (2 * 4096, Patch::Zero)),
            (2 * 4096, (3 * 4096, data(1))),
            (3 * 4096, (4 * 4096, Patch::Zero)),
            (4 * 4096, (6 * 4096, Patch::Zero)),
            (6 * 4096, (7 * 4096, data(3))),
        ];
        assert_eq!(pieces, expected);
        let touches = |offset, length| overlay.touches(ByteRange { offset, length });
        assert!(touches(0, 4097) && touches(7 * 4096 - 1, 1));
        assert!(!touches(0, 4096) && !touches(7 * 4096, 100));
    }
}
