//! `blobs`: metadata reads from native sources, metered and cached.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use imprint_ports::{BlockSource, PortError};
use wasmtime::component::Resource;

use super::{error, port_error};
use crate::{
    bindings::host::imprint::{
        host::blobs,
        types::types::{ByteRange, Error, ErrorClass},
    },
    numbers::Numbers,
    state::State,
};

/// Bytes of a block of the cache.
const BLOCK: u64 = 64 << 10;
/// Blocks that one source keeps: 4 MiB.
const KEPT: usize = 64;
const MAX_READ: u64 = 1 << 20;
const MAX_RANGES: usize = 1024;
/// What a list takes on its way through the sandbox beside its elements.
const LIST_BYTES: usize = 8;
/// Places of one `read-each`.
const MAX_PLACES: usize = 8192;
/// Longest of the pieces of `read-each`. Where there are more of them than blocks are kept, they
/// are read by themselves: each would bring a block that the next ones push out again (the markers
/// in front of compressed grains, one for each 64 KiB of disk).
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

    /// The bytes at each place, one behind the other. A source that prefers long reads answers few
    /// requests quickly, not many. Blocks.
    fn read_each(&self, offsets: &[u64], length: u64) -> std::io::Result<Vec<u8>> {
        let short = offsets.len() > KEPT && self.source.preferred_read() == 0;
        let mut all = Vec::new();
        for offset in offsets {
            let bytes = match short {
                true => self.read_short(*offset, length),
                false => self.read(*offset, length),
            }?;
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
    /// Reads off the async threads, within the plugin's metadata limit.
    async fn read_metadata<T: Send + 'static>(
        &mut self,
        handle: &Resource<BlobHandle>,
        total: u64,
        read: impl FnOnce(&CachedSource) -> std::io::Result<T> + Send + 'static,
    ) -> wasmtime::Result<Result<T, Error>> {
        let source = self.table.get(handle)?.0.clone();
        self.metadata_read = self.metadata_read.saturating_add(total);
        let limit = self.plugin.manifest.limits.metadata_read;
        if self.metadata_read > limit {
            let what = format!(
                "this work has read its {limit} bytes of metadata; bulk data does not go through a plugin"
            );
            return Ok(Err(error(ErrorClass::LimitExceeded, "plugin.metadata-limit", what)));
        }
        let read = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            (read(&source), begun.elapsed())
        });
        let (read, took) = read.await?;
        self.reading += took;
        Ok(match read {
            Ok(read) => Ok(read),
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

    /// Several ranges.
    async fn read_ranges(
        &mut self,
        handle: &Resource<BlobHandle>,
        ranges: Vec<ByteRange>,
    ) -> wasmtime::Result<Result<Vec<Vec<u8>>, Error>> {
        let total = ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.length));
        if total > MAX_READ || ranges.len() > MAX_RANGES {
            let what = format!(
                "a read of {total} bytes in {} ranges is over 1 MiB or {MAX_RANGES} ranges",
                ranges.len()
            );
            return Ok(Err(error(ErrorClass::LimitExceeded, "blob.read", what)));
        }
        self.plugin.counters.received(ranges.len() * size_of::<ByteRange>());
        let read = self.read_metadata(handle, total, move |source| {
            ranges.iter().map(|range| source.read(range.offset, range.length)).collect::<Result<Vec<_>, _>>()
        });
        let read = read.await?;
        if let Ok(pieces) = &read {
            self.plugin.counters.sent(pieces.iter().map(|piece| piece.len() + LIST_BYTES).sum());
        }
        Ok(read)
    }
}

/// The places that a plugin wants to read at; one more than are possible, where there are more.
/// `None` is a list of something else.
fn offsets(places: &[u8]) -> Option<Vec<u64>> {
    let mut places = Numbers::new(places);
    let mut offsets = Vec::new();
    let mut at = 0_u64;
    while !places.is_empty() && offsets.len() <= MAX_PLACES {
        at = at.checked_add_signed(places.signed()?)?;
        offsets.push(at);
    }
    Some(offsets)
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

    async fn read_each(
        &mut self,
        blob: Resource<BlobHandle>,
        places: Vec<u8>,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        self.plugin.counters.received(places.len());
        let length = u64::from(length);
        let Some(offsets) = offsets(&places) else {
            return Ok(Err(error(
                ErrorClass::InvalidInput,
                "blob.read",
                "the places of a read are no numbers",
            )));
        };
        if !(1..=SHORT).contains(&length) || offsets.len() > MAX_PLACES {
            let what = format!(
                "a read of {length} bytes at each of {} places; {SHORT} bytes at {MAX_PLACES} places are possible",
                offsets.len()
            );
            return Ok(Err(error(ErrorClass::LimitExceeded, "blob.read", what)));
        }
        let places = u64::try_from(offsets.len()).unwrap_or(u64::MAX);
        let read = self
            .read_metadata(&blob, length.saturating_mul(places), move |source| {
                source.read_each(&offsets, length)
            })
            .await?;
        if let Ok(bytes) = &read {
            self.plugin.counters.sent(bytes.len());
        }
        Ok(read)
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
    fn many_short_pieces_bring_no_blocks() {
        let native = source(KEPT + 10);
        let cached = CachedSource::new(native.clone());
        let offsets: Vec<_> = (0..KEPT + 10).map(|index| u64::try_from(index).unwrap() * BLOCK + 7).collect();
        let expected = |offsets: &[u64]| -> Vec<u8> {
            let from = |offset: &u64| usize::try_from(*offset).unwrap();
            offsets.iter().flat_map(|offset| native.bytes[from(offset)..from(offset) + 12].to_vec()).collect()
        };
        assert_eq!(cached.read_each(&offsets, 12).unwrap(), expected(&offsets));
        assert_eq!(cached.lock().kept.len(), 0);
        assert_eq!(cached.read_each(&offsets[..KEPT], 12).unwrap(), expected(&offsets[..KEPT]));
        assert_eq!(cached.lock().kept.len(), KEPT, "few pieces are worth their blocks");
        let across = [BLOCK - 6; KEPT + 1];
        assert_eq!(cached.read_each(&across, 12).unwrap(), expected(&across));
        let cut = cached.read_each(&[0, BLOCK * 74 + 95], 12).unwrap_err();
        assert_eq!(cut.kind(), std::io::ErrorKind::UnexpectedEof);
    }
}
