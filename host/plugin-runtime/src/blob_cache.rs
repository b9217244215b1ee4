//! Files as a plugin reads them: with the blocks that were read last.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use imprint_ports::BlockSource;

use crate::sync;

/// Bytes of a block of the cache.
const BLOCK: u64 = 64 << 10;
/// Blocks that one source keeps: 4 MiB.
const KEPT_BLOCKS: usize = 64;

/// A blob in a plugin's hands.
#[expect(unreachable_pub, reason = "the generated bindings name it as public")]
pub struct BlobHandle(pub(crate) Arc<CachedSource>);

/// A source with a cache of the blocks that were read last.
pub(crate) struct CachedSource {
    source: Arc<dyn BlockSource>,
    size: u64,
    blocks: Mutex<Blocks>,
}

#[derive(Default)]
struct Blocks {
    kept: BTreeMap<u64, Arc<Vec<u8>>>,
    /// The indexes of the kept blocks, oldest first.
    order: VecDeque<u64>,
}

impl CachedSource {
    pub(crate) fn new(source: Arc<dyn BlockSource>) -> Self {
        let size = source.size();
        Self { source, size, blocks: Mutex::default() }
    }

    /// Returns the size of the source in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Returns `length` bytes at `offset`, fewer at the end of the source. Blocks the thread.
    pub(crate) fn read(&self, offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
        let end = offset.saturating_add(length).min(self.size);
        let mut out =
            Vec::with_capacity(usize::try_from(end.saturating_sub(offset)).map_err(std::io::Error::other)?);
        let mut at = offset;
        while at < end {
            let index = at / BLOCK;
            let block = self.block(index)?;
            let from = usize::try_from(at - index * BLOCK).map_err(std::io::Error::other)?;
            let wanted = usize::try_from(end - at).map_err(std::io::Error::other)?;
            let piece = block.get(from..).unwrap_or_default();
            let piece = &piece[..piece.len().min(wanted)];
            if piece.is_empty() {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            out.extend_from_slice(piece);
            at += u64::try_from(piece.len()).map_err(std::io::Error::other)?;
        }
        Ok(out)
    }

    /// As [`Self::read`], without bringing a block into the cache. Blocks the thread.
    fn read_short(&self, offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
        let end = offset.saturating_add(length).min(self.size);
        let crosses = offset / BLOCK != end.saturating_sub(1) / BLOCK;
        if crosses || end <= offset || self.lock().kept.contains_key(&(offset / BLOCK)) {
            return self.read(offset, length);
        }
        let mut bytes = vec![0; usize::try_from(end - offset).map_err(std::io::Error::other)?];
        self.source.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Returns `length` bytes at each offset, one after the other. Blocks the thread.
    ///
    /// Where there are more offsets than blocks are kept, the pieces are read by themselves: each
    /// would bring a block that the next ones push out (the markers in front of compressed grains,
    /// one for each 64 KiB of disk). A source that prefers long reads is served from blocks: it
    /// answers few requests quickly, not many.
    pub(crate) fn read_each(&self, offsets: &[u64], length: u64) -> std::io::Result<Vec<u8>> {
        let short = offsets.len() > KEPT_BLOCKS && self.source.preferred_read() == 0;
        let mut all = Vec::new();
        for offset in offsets {
            let bytes = if short { self.read_short(*offset, length)? } else { self.read(*offset, length)? };
            if u64::try_from(bytes.len()).map_err(std::io::Error::other)? < length {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            all.extend(bytes);
        }
        Ok(all)
    }

    fn block(&self, index: u64) -> std::io::Result<Arc<Vec<u8>>> {
        if let Some(block) = self.lock().kept.get(&index) {
            return Ok(block.clone());
        }
        let start = index * BLOCK;
        let length = usize::try_from(BLOCK.min(self.size - start)).map_err(std::io::Error::other)?;
        let mut bytes = vec![0; length];
        self.source.read_exact_at(&mut bytes, start)?;
        let block = Arc::new(bytes);
        let mut blocks = self.lock();
        if blocks.kept.insert(index, block.clone()).is_none() {
            blocks.order.push_back(index);
        }
        if blocks.order.len() > KEPT_BLOCKS
            && let Some(oldest) = blocks.order.pop_front()
        {
            blocks.kept.remove(&oldest);
        }
        Ok(block)
    }

    fn lock(&self) -> MutexGuard<'_, Blocks> {
        sync::lock(&self.blocks)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Counting {
        bytes: Vec<u8>,
        reads: AtomicUsize,
    }

    impl BlockSource for Counting {
        fn size(&self) -> u64 {
            u64::try_from(self.bytes.len()).unwrap()
        }

        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let from = usize::try_from(offset).unwrap();
            buf.copy_from_slice(&self.bytes[from..from + buf.len()]);
            Ok(())
        }
    }

    fn source(blocks: usize) -> Arc<Counting> {
        let size = blocks * usize::try_from(BLOCK).unwrap() + 100;
        let bytes = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
        Arc::new(Counting { bytes, reads: AtomicUsize::new(0) })
    }

    #[test]
    fn reads_cross_blocks_and_are_short_only_at_the_end() {
        let native = source(3);
        let cached = CachedSource::new(native.clone());
        for (offset, length) in [(0, 10), (BLOCK - 5, 10), (BLOCK * 3 - 1, 200), (BLOCK * 3 + 50, 100)] {
            let from = usize::try_from(offset).unwrap();
            let to = native.bytes.len().min(from + usize::try_from(length).unwrap());
            assert_eq!(cached.read(offset, length).unwrap(), native.bytes[from..to]);
        }
        assert_eq!(cached.read(BLOCK * 4, 10).unwrap(), Vec::<u8>::new());
        assert_eq!(cached.read(u64::MAX, u64::MAX).unwrap(), Vec::<u8>::new());
    }

    #[test]
    fn blocks_are_read_once_and_the_cache_is_bounded() {
        let native = source(KEPT_BLOCKS + 10);
        let cached = CachedSource::new(native.clone());
        for _ in 0..5 {
            cached.read(7, 100).unwrap();
        }
        assert_eq!(native.reads.load(Ordering::Relaxed), 1);
        for index in 0..KEPT_BLOCKS + 10 {
            cached.read(u64::try_from(index).unwrap() * BLOCK, 1).unwrap();
        }
        assert_eq!(cached.lock().kept.len(), KEPT_BLOCKS);
        assert_eq!(cached.lock().order.len(), KEPT_BLOCKS);
    }

    #[test]
    fn many_short_pieces_bring_no_blocks() {
        let native = source(KEPT_BLOCKS + 10);
        let cached = CachedSource::new(native.clone());
        let offsets: Vec<_> =
            (0..KEPT_BLOCKS + 10).map(|index| u64::try_from(index).unwrap() * BLOCK + 7).collect();
        let expected = |offsets: &[u64]| -> Vec<u8> {
            let from = |offset: &u64| usize::try_from(*offset).unwrap();
            offsets.iter().flat_map(|offset| native.bytes[from(offset)..from(offset) + 12].to_vec()).collect()
        };
        assert_eq!(cached.read_each(&offsets, 12).unwrap(), expected(&offsets));
        assert_eq!(cached.lock().kept.len(), 0);
        assert_eq!(cached.read_each(&offsets[..KEPT_BLOCKS], 12).unwrap(), expected(&offsets[..KEPT_BLOCKS]));
        assert_eq!(cached.lock().kept.len(), KEPT_BLOCKS, "few pieces are worth their blocks");
        let across = [BLOCK - 6; KEPT_BLOCKS + 1];
        assert_eq!(cached.read_each(&across, 12).unwrap(), expected(&across));
        let cut = cached.read_each(&[0, BLOCK * 74 + 95], 12).unwrap_err();
        assert_eq!(cut.kind(), std::io::ErrorKind::UnexpectedEof);
    }
}
