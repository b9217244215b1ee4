//! Hashes of bytes that are written in order, computed while they pass.

use std::{
    io,
    sync::{Arc, Mutex},
};

use imprint_ports::BlockSink;
use sha2::{Digest, Sha256};

use crate::{
    digest::{DigestBuilder, DigestMode, DiskDigest, StoredDigest, WrittenTwice},
    util::{lock::lock, num::to_u64},
};

/// A sink that can only be appended to, and hashes what is written: to another sink from an offset
/// on, or to nowhere, which tells how many bytes there are before they are written.
pub struct HashingSink {
    target: Option<(Arc<dyn BlockSink>, u64)>,
    state: Mutex<State>,
    digest: StoredDigest,
}

struct State {
    sha256: Sha256,
    at: u64,
}

/// What was written to a [`HashingSink`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// The number of bytes.
    pub size: u64,
    /// Their SHA-256, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Their digest.
    pub digest: DiskDigest,
}

impl HashingSink {
    /// Returns a sink whose bytes go to another one, from `offset` on.
    pub fn over(target: Arc<dyn BlockSink>, offset: u64) -> Self {
        Self { target: Some((target, offset)), ..Self::counting() }
    }

    /// Returns a sink whose bytes go nowhere.
    pub fn counting() -> Self {
        Self {
            target: None,
            state: Mutex::new(State { sha256: Sha256::new(), at: 0 }),
            digest: StoredDigest::new(DigestMode::Computed),
        }
    }

    /// Returns what was written.
    pub fn finish(self) -> Hashed {
        let State { sha256, at } = self.state.into_inner().expect("no holder of this lock panics");
        let digest = self.digest.finish(DigestBuilder::new(), at);
        Hashed { size: at, sha256: hex::encode(sha256.finalize()), digest }
    }
}

impl BlockSink for HashingSink {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.at != offset {
            let text = format!("a stream at byte {} cannot take byte {offset}", state.at);
            return Err(io::Error::new(io::ErrorKind::NotSeekable, text));
        }
        if let Some((target, start)) = &self.target {
            target.write_all_at(buf, start + offset)?;
        }
        state.sha256.update(buf);
        state.at += to_u64(buf.len());
        let twice = |WrittenTwice { offset }| io::Error::other(format!("byte {offset} was written twice"));
        self.digest.write(offset, buf).map_err(twice)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let at = lock(&self.state).at;
        if at != size {
            return Err(io::ErrorKind::NotSeekable.into());
        }
        match &self.target {
            Some((target, 0)) => target.set_size(size),
            // The part of a larger file has no end of its own.
            Some(_) | None => Ok(()),
        }
    }

    fn preferred_write(&self) -> u64 {
        self.target.as_ref().map_or(0, |(target, _)| target.preferred_write())
    }

    fn sync(&self) -> io::Result<()> {
        match &self.target {
            // The rest of the larger file follows: an upload in parts would send a short one.
            Some((target, 0)) => target.sync(),
            Some(_) | None => Ok(()),
        }
    }

    fn append_only(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AppendSink;

    #[test]
    fn what_passes_is_hashed_and_handed_on() {
        let target = Arc::new(AppendSink::new(Vec::new()));
        let sink = HashingSink::over(target.clone(), 0);
        sink.write_all_at(b"abc", 0).unwrap();
        assert!(sink.write_all_at(b"x", 7).is_err(), "only in order");
        sink.write_all_at(&[0; 70_000], 3).unwrap();
        sink.set_size(70_003).unwrap();
        let counted = HashingSink::counting();
        counted.write_all_at(b"abc", 0).unwrap();
        counted.write_all_at(&[0; 70_000], 3).unwrap();
        let hashed = sink.finish();
        assert_eq!(hashed, counted.finish());
        let bytes = Arc::into_inner(target).unwrap().into_inner().0;
        assert_eq!(hashed.size, 70_003);
        assert_eq!(hashed.sha256, hex::encode(Sha256::digest(&bytes)));
        let file = StoredDigest::new(DigestMode::Computed);
        file.write(0, &bytes).unwrap();
        assert_eq!(hashed.digest, file.finish(DigestBuilder::new(), 70_003));
    }
}
