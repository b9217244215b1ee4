//! SHA-256 of a file that was just written, for those who ask for one.
//!
//! A hash of that kind begins with the first byte, and the first bytes of most formats are written last: it takes a second
//! pass. One thread reads while the other hashes, and the system reads ahead of both, because what was written past the page
//! cache has to come from the disk again.

use std::{
    fs::File,
    io::{self, Read},
    sync::mpsc,
    thread,
};

use rustix::fs::{Advice, fadvise};
use sha2::{Digest, Sha256};

/// Bytes that are read at once; four pieces are under way.
const PIECE: usize = 1 << 20;
const PIECES: usize = 4;
/// How far the system reads ahead.
const AHEAD: u64 = 32 << 20;

/// The hash of all bytes from where the file stands, in hex. Blocks.
pub(super) fn of(mut file: File) -> io::Result<String> {
    let (filled, to_hash) = mpsc::sync_channel::<(Vec<u8>, usize)>(PIECES);
    let (emptied, to_fill) = mpsc::sync_channel(PIECES);
    for _ in 0..PIECES {
        // As many as there is room for.
        let _ = emptied.send(vec![0; PIECE]);
    }
    thread::scope(|scope| {
        let hashing = scope.spawn(move || {
            let mut hash = Sha256::new();
            while let Ok((piece, length)) = to_hash.recv() {
                hash.update(&piece[..length]);
                // The reader may have come to the end.
                let _ = emptied.send(piece);
            }
            hash.finalize()
        });
        let read = read_all(&mut file, &filled, &to_fill);
        drop((filled, to_fill));
        let hash = hashing.join().map_err(|_| io::Error::other("the hashing thread is gone"))?;
        read.map(|()| hex::encode(hash))
    })
}

fn read_all(
    file: &mut File,
    filled: &mpsc::SyncSender<(Vec<u8>, usize)>,
    to_fill: &mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let (mut at, mut advised) = (0, 0);
    while let Ok(mut piece) = to_fill.recv() {
        if at + AHEAD / 2 >= advised {
            // Only advice: without it, it is slower.
            let _ = fadvise(&*file, advised, std::num::NonZeroU64::new(AHEAD), Advice::WillNeed);
            advised += AHEAD;
        }
        let length = match file.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        at += u64::try_from(length).unwrap_or(u64::MAX);
        if filled.send((piece, length)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    #[test]
    fn is_that_of_the_bytes() {
        for length in [0, 1, PIECE - 1, PIECE, 3 * PIECE + 7, 40 * PIECE] {
            let bytes: Vec<u8> = (0..=250u8).cycle().take(length).collect();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            file.rewind().unwrap();
            assert_eq!(of(file).unwrap(), hex::encode(Sha256::digest(&bytes)), "{length}");
        }
    }
}
