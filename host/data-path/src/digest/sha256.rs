//! Hashes over bytes in order, which have to wait for the first byte: most formats write their
//! first bytes last.
//!
//! One thread hashes, and others read ahead of it into a few buffers that are reused. Bytes that
//! were written past the page cache come from the disk again, and into the same buffers each time:
//! through the cache, finding pages for a file that is read once took three times as long as
//! hashing it.

use std::{
    sync::{Arc, mpsc},
    thread,
};

use imprint_ports::BlockSource;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::{
    error::EngineError,
    util::{
        aligned::AlignedBuffer,
        blocking::run_blocking,
        num::{to_u64, to_usize},
    },
};

/// The number of bytes that are read at once, and so the interval at which cancellation is checked.
const PIECE: u64 = 1 << 20;
/// The number of threads that read: a disk is faster with two reads in flight, and no hash is
/// faster than that.
const READERS: usize = 2;
/// The number of buffers of each reader.
const PIECES: usize = 2;

/// What a reader passes to the hashing thread: a buffer and the number of bytes in it.
type Filled = Result<(AlignedBuffer, usize), EngineError>;

/// The two channels between a reader and the hashing thread.
struct Lane {
    filled: mpsc::Receiver<Filled>,
    emptied: mpsc::Sender<AlignedBuffer>,
}

/// Returns the SHA-256 of all bytes of a source, in lower-case hexadecimal digits. Takes 4 MiB of
/// memory; stops when it is dropped.
///
/// # Errors
///
/// Whatever reading the source reports.
pub async fn sha256(source: Arc<dyn BlockSource>) -> Result<String, EngineError> {
    let cancel = CancellationToken::new();
    let _stop_when_dropped = cancel.clone().drop_guard();
    run_blocking(move || hash_in_order::<Sha256>(source.as_ref(), &cancel)).await?
}

/// Returns the hash of all bytes of a source, in lower-case hexadecimal digits. Blocks.
pub(crate) fn hash_in_order<D: Digest>(
    source: &dyn BlockSource,
    cancel: &CancellationToken,
) -> Result<String, EngineError> {
    let pieces = to_usize(source.size().div_ceil(PIECE));
    thread::scope(|scope| {
        let lanes: Vec<Lane> = (0..READERS.min(pieces))
            .map(|first| {
                let (to_hash, filled) = mpsc::sync_channel(PIECES);
                let (emptied, to_fill) = mpsc::channel();
                for piece in AlignedBuffer::several(PIECES, to_usize(PIECE)) {
                    // It cannot fail: the receiver is still in scope.
                    let _ = emptied.send(piece);
                }
                scope.spawn(move || read(source, (first..pieces).step_by(READERS), &to_fill, &to_hash));
                Lane { filled, emptied }
            })
            .collect();
        let mut hash = D::new();
        for lane in lanes.iter().cycle().take(pieces) {
            if cancel.is_cancelled() {
                return Err(EngineError::Cancelled);
            }
            let (piece, length) = lane.filled.recv().map_err(|_| EngineError::WorkerLost)??;
            hash.update(&piece[..length]);
            // It fails once the reader has no more to read.
            let _ = lane.emptied.send(piece);
        }
        Ok(hex::encode(hash.finalize()))
    })
}

/// Reads these pieces until they are no longer wanted, or one cannot be read.
fn read(
    source: &dyn BlockSource,
    numbers: impl Iterator<Item = usize>,
    to_fill: &mpsc::Receiver<AlignedBuffer>,
    to_hash: &mpsc::SyncSender<Filled>,
) {
    for number in numbers {
        let Ok(mut piece) = to_fill.recv() else { return };
        let at = to_u64(number) * PIECE;
        let length = PIECE.min(source.size() - at);
        let bytes = &mut piece[..to_usize(length)];
        let filled = match source.read_exact_at(bytes, at) {
            Ok(()) => Ok((piece, to_usize(length))),
            Err(error) => Err(EngineError::read(at, length, error)),
        };
        let failed = filled.is_err();
        if to_hash.send(filled).is_err() || failed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use imprint_ports::{ByteRange, Segment};
    use sha1::Sha1;

    use super::*;
    use crate::{testing::Pattern, transport::file::MemorySource};

    #[test]
    fn the_hash_is_that_of_the_bytes_in_order() {
        for size in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 7 * PIECE + 13] {
            let bytes = Pattern { size, seed: 5 }.bytes();
            let (sha256, sha1) = (hex::encode(Sha256::digest(&bytes)), hex::encode(Sha1::digest(&bytes)));
            let source = MemorySource::new(bytes);
            assert_eq!(
                hash_in_order::<Sha256>(&source, &CancellationToken::new()).unwrap(),
                sha256,
                "{size}"
            );
            assert_eq!(hash_in_order::<Sha1>(&source, &CancellationToken::new()).unwrap(), sha1, "{size}");
        }
    }

    /// A source that can be read up to an offset.
    struct Broken(u64);

    impl BlockSource for Broken {
        fn size(&self) -> u64 {
            9 * PIECE
        }

        fn read_exact_at(&self, _buf: &mut [u8], offset: u64) -> io::Result<()> {
            if offset >= self.0 { Err(io::Error::other("worn out")) } else { Ok(()) }
        }

        fn segments(&self, range: ByteRange) -> io::Result<Vec<Segment>> {
            Ok(vec![Segment { range, zero: false }])
        }
    }

    #[test]
    fn a_failed_read_or_a_cancellation_ends_the_hash() {
        for place in [0, PIECE, 4 * PIECE, 8 * PIECE] {
            let error = hash_in_order::<Sha256>(&Broken(place), &CancellationToken::new()).unwrap_err();
            assert!(error.to_string().contains(&format!("at offset {place} ")), "{error}");
        }
        let cancelled = CancellationToken::new();
        cancelled.cancel();
        let ended = hash_in_order::<Sha256>(&Broken(u64::MAX), &cancelled);
        assert!(matches!(ended, Err(EngineError::Cancelled)), "{ended:?}");
    }
}
