//! `blobs`: metered reads of metadata from files that the host opened.

use std::time::Instant;

use imprint_ports::PortError;
use wasmtime::component::Resource;

use crate::{
    bindings::host::imprint::{
        host::blobs,
        types::types::{ByteRange, Error},
    },
    blob_cache::{BlobHandle, CachedSource},
    codes::Code,
    numbers::Numbers,
    state::State,
    wit_error,
};

/// Bytes of one read, all ranges together.
const MAX_READ: u64 = 1 << 20;
/// Ranges of one `read-many`.
const MAX_RANGES: usize = 1024;
/// What a list costs in the sandbox in addition to its elements, in bytes.
const LIST_BYTES: usize = 8;
/// Places of one `read-each`.
const MAX_PLACES: usize = 8192;
/// The longest piece of a `read-each`, in bytes.
const MAX_PIECE: u64 = 64;

impl State {
    /// Reads on a blocking thread, within the plugin's metadata limit.
    async fn read_metadata<T: Send + 'static>(
        &mut self,
        handle: &Resource<BlobHandle>,
        total: u64,
        read: impl FnOnce(&CachedSource) -> std::io::Result<T> + Send + 'static,
    ) -> wasmtime::Result<Result<T, Error>> {
        let source = self.table.get(handle)?.0.clone();
        self.metadata_read = self.metadata_read.saturating_add(total);
        let limit = self.plugin.limits.metadata_read;
        if self.metadata_read > limit {
            let message = format!(
                "this instance has read its {limit} bytes of metadata; bulk data does not go through a plugin"
            );
            return Ok(Err(wit_error::new(Code::MetadataLimit, message)));
        }
        let read = tokio::task::spawn_blocking(move || {
            let started = Instant::now();
            (read(&source), started.elapsed())
        });
        let (read, took) = read.await?;
        self.reading += took;
        Ok(match read {
            Ok(read) => Ok(read),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                let message = "the file ends earlier than it did when it was opened";
                Err(wit_error::new(Code::BlobTruncated, message))
            }
            Err(error) => Err(match PortError::of(&error) {
                // The bytes come through another plugin, and this is its failure.
                Some(failure) => wit_error::from_port_error(failure),
                None => wit_error::new(Code::BlobIo, format!("reading failed: {error}")),
            }),
        })
    }

    /// Reads several ranges.
    async fn read_ranges(
        &mut self,
        handle: &Resource<BlobHandle>,
        ranges: Vec<ByteRange>,
    ) -> wasmtime::Result<Result<Vec<Vec<u8>>, Error>> {
        let total = ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.length));
        if total > MAX_READ || ranges.len() > MAX_RANGES {
            let message = format!(
                "a read of {total} bytes in {} ranges is longer than 1 MiB or {MAX_RANGES} ranges",
                ranges.len()
            );
            return Ok(Err(wit_error::new(Code::BlobRead, message)));
        }
        self.plugin.counters.count_from_plugin(ranges.len() * size_of::<ByteRange>());
        let read = self.read_metadata(handle, total, move |source| {
            ranges.iter().map(|range| source.read(range.offset, range.length)).collect::<Result<Vec<_>, _>>()
        });
        let read = read.await?;
        if let Ok(pieces) = &read {
            self.plugin.counters.count_to_plugin(pieces.iter().map(|piece| piece.len() + LIST_BYTES).sum());
        }
        Ok(read)
    }
}

/// Returns the offsets of a `read-each`; where there are more than possible, one more than that.
/// `None` when the list is not a list of numbers.
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
        Ok(self.table.get(&blob)?.0.size())
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
        self.plugin.counters.count_from_plugin(places.len());
        let length = u64::from(length);
        let Some(offsets) = offsets(&places) else {
            return Ok(Err(wit_error::new(Code::BlobPlaces, "the places of a read are not numbers")));
        };
        if !(1..=MAX_PIECE).contains(&length) || offsets.len() > MAX_PLACES {
            let message = format!(
                "a read of {length} bytes at each of {} places exceeds {MAX_PIECE} bytes at {MAX_PLACES} places",
                offsets.len()
            );
            return Ok(Err(wit_error::new(Code::BlobRead, message)));
        }
        let places = u64::try_from(offsets.len()).unwrap_or(u64::MAX);
        let read = self
            .read_metadata(&blob, length.saturating_mul(places), move |source| {
                source.read_each(&offsets, length)
            })
            .await?;
        if let Ok(bytes) = &read {
            self.plugin.counters.count_to_plugin(bytes.len());
        }
        Ok(read)
    }

    /// Does nothing: the operating system reads ahead.
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
