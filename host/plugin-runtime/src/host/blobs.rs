//! `blobs`: metadata reads from native sources, metered and cached.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use imprint_data_path::{io::BlockSource, ports::PortError};
use wasmtime::component::Resource;

use super::{error, port_error};
use crate::{
    bindings::host::imprint::{
        host::blobs,
        types::types::{ByteRange, Error, ErrorClass},
    },
    state::State,
};

/// Bytes of a block of the cache.
const BLOCK: u64 = 64 << 10;
/// Blocks that one source keeps: 4 MiB.
const KEPT: usize = 64;
const MAX_READ: u64 = 1 << 20;
const MAX_RANGES: usize = 1024;
/// Ranges up to this length, more of them in one call than there are blocks kept, are read by themselves: each would bring a
/// block that the next ones push out again (the markers in front of compressed grains, one for each 64 KiB of disk).
const SHORT: u64 = 64;

/// A blob in a plugin's hands.
#[expect(unreachable_pub, reason = "the generated bindings name it as public")]
pub struct BlobHandle(pub(crate) Arc<CachedSource>);

/// A source with the blocks that were read last.
pub(crate) struct CachedSource {
    source: Arc<dyn BlockSource>,
    size: u64,
    blocks: Mutex<Blocks>,
}

#[derive(Default)]
struct Blocks {
    kept: BTreeMap<u64, Arc<Vec<u8>>>,
    /// Oldest first.
    order: VecDeque<u64>,
}

impl CachedSource {
    pub(crate) fn new(source: Arc<dyn BlockSource>) -> Self {
        let size = source.size();
        Self { source, size, blocks: Mutex::default() }
    }

    /// The bytes of `range`, cut at the end of the source. Blocks.
    fn read(&self, offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
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

    /// As [`Self::read`], without bringing a block that is not there. Blocks.
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

    /// All ranges. Blocks.
    fn read_all(&self, ranges: &[ByteRange]) -> std::io::Result<Vec<Vec<u8>>> {
        // A source that prefers long reads answers few requests quickly, not many.
        let short = ranges.len() > KEPT
            && self.source.preferred_read() == 0
            && ranges.iter().all(|range| range.length <= SHORT);
        let read = |range: &ByteRange| match short {
            true => self.read_short(range.offset, range.length),
            false => self.read(range.offset, range.length),
        };
        ranges.iter().map(read).collect()
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
        if blocks.order.len() > KEPT
            && let Some(oldest) = blocks.order.pop_front()
        {
            blocks.kept.remove(&oldest);
        }
        Ok(block)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Reads several ranges off the async threads, within the plugin's metadata limit.
    async fn read_ranges(
        &mut self,
        handle: &Resource<BlobHandle>,
        ranges: Vec<ByteRange>,
    ) -> wasmtime::Result<Result<Vec<Vec<u8>>, Error>> {
        let source = self.table.get(handle)?.0.clone();
        let total = ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.length));
        if total > MAX_READ || ranges.len() > MAX_RANGES {
            let what = format!(
                "a read of {total} bytes in {} ranges is over 1 MiB or {MAX_RANGES} ranges",
                ranges.len()
            );
            return Ok(Err(error(ErrorClass::LimitExceeded, "blob.read", what)));
        }
        self.metadata_read = self.metadata_read.saturating_add(total);
        let limit = self.plugin.manifest.limits.metadata_read;
        if self.metadata_read > limit {
            let what = format!(
                "this work has read its {limit} bytes of metadata; bulk data does not go through a plugin"
            );
            return Ok(Err(error(ErrorClass::LimitExceeded, "plugin.metadata-limit", what)));
        }
        let read = tokio::task::spawn_blocking(move || source.read_all(&ranges));
        Ok(match read.await? {
            Ok(pieces) => {
                self.plugin.counters.sent(pieces.iter().map(Vec::len).sum());
                Ok(pieces)
            }
            Err(failed) if failed.kind() == std::io::ErrorKind::UnexpectedEof => Err(error(
                ErrorClass::Corrupt,
                "blob.truncated",
                "the file ends earlier than it did when it was opened",
            )),
            Err(failed) => Err(match PortError::of(&failed) {
                // The bytes come through another plugin, and the engine knows what it did.
                Some(known) => port_error(known),
                None => error(ErrorClass::Transient, "blob.io", format!("reading failed: {failed}")),
            }),
        })
    }
}

impl blobs::Host for State {}

impl blobs::HostBlob for State {
    async fn size(&mut self, blob: Resource<BlobHandle>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&blob)?.0.size)
    }

    async fn read_at(
        &mut self,
        blob: Resource<BlobHandle>,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let range = ByteRange { offset, length: u64::from(length) };
        let pieces = self.read_ranges(&blob, vec![range]).await?;
        Ok(pieces.map(|pieces| pieces.into_iter().next().unwrap_or_default()))
    }

    async fn read_many(
        &mut self,
        blob: Resource<BlobHandle>,
        ranges: Vec<ByteRange>,
    ) -> wasmtime::Result<Result<Vec<Vec<u8>>, Error>> {
        self.read_ranges(&blob, ranges).await
    }

    /// The cache of the operating system does the reading ahead.
    async fn prefetch(
        &mut self,
        _blob: Resource<BlobHandle>,
        _ranges: Vec<ByteRange>,
    ) -> wasmtime::Result<()> {
        Ok(())
    }

    async fn drop(&mut self, blob: Resource<BlobHandle>) -> wasmtime::Result<()> {
        self.table.delete(blob)?;
        Ok(())
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
        let native = source(KEPT + 10);
        let cached = CachedSource::new(native.clone());
        for _ in 0..5 {
            cached.read(7, 100).unwrap();
        }
        assert_eq!(native.reads.load(Ordering::Relaxed), 1);
        for index in 0..KEPT + 10 {
            cached.read(u64::try_from(index).unwrap() * BLOCK, 1).unwrap();
        }
        assert_eq!(cached.lock().kept.len(), KEPT);
        assert_eq!(cached.lock().order.len(), KEPT);
    }

    #[test]
    fn many_short_ranges_bring_no_blocks() {
        let native = source(KEPT + 10);
        let cached = CachedSource::new(native.clone());
        let ranges: Vec<_> = (0..KEPT + 10)
            .map(|index| ByteRange { offset: u64::try_from(index).unwrap() * BLOCK + 7, length: 12 })
            .collect();
        let read = cached.read_all(&ranges).unwrap();
        for (range, bytes) in ranges.iter().zip(&read) {
            let from = usize::try_from(range.offset).unwrap();
            assert_eq!(*bytes, native.bytes[from..from + 12]);
        }
        assert_eq!(cached.lock().kept.len(), 0);
        cached.read_all(&ranges[..KEPT]).unwrap();
        assert_eq!(cached.lock().kept.len(), KEPT, "few ranges are worth their blocks");
        let edges =
            [BLOCK - 6, BLOCK * 74 + 95, BLOCK * 74 + 200].map(|offset| ByteRange { offset, length: 12 });
        let all: Vec<_> = edges.iter().cycle().take(KEPT + 1).copied().collect();
        let lengths: Vec<_> = cached.read_all(&all).unwrap().iter().take(3).map(Vec::len).collect();
        assert_eq!(lengths, [12, 5, 0]);
    }
}
