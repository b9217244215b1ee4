//! Standard input as an image. Formats read at any offset and a pipe only forward, so its bytes are
//! copied to a file first.
//!
//! The file has no name, so that it vanishes however the process ends.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
};

use imprint_data_path::{EngineError, is_zero};
use tokio::sync::oneshot;

use super::watch::Watch;

/// The argument that names standard input or standard output.
pub(super) const PIPE: &str = "-";
/// The name of standard input in messages.
pub(super) const STDIN: &str = "standard input";
/// The number of bytes that are read at once.
const CHUNK: usize = 1 << 20;
/// The size in bytes of a block that becomes a hole if all of it is zero.
const HOLE: usize = 64 << 10;

/// Reads standard input to its end. When the command is cancelled, this returns at once; the thread
/// that reads ends with the process.
///
/// # Errors
///
/// Standard input cannot be read, or the file cannot be made or written.
pub(super) async fn standard_input(folder: Option<&Path>, watch: &Watch) -> Result<File, EngineError> {
    let folder = folder.map_or_else(std::env::temp_dir, Path::to_path_buf);
    let (done, answer) = oneshot::channel();
    let spooling = std::thread::Builder::new().name("spool".to_owned()).spawn(move || {
        // The receiver is gone after a cancellation.
        let _ = done.send(spool(io::stdin().lock(), &folder));
    });
    spooling.map_err(|source| EngineError::Open { path: STDIN.to_owned(), source })?;
    watch.until(async { answer.await.unwrap_or(Err(EngineError::WorkerLost)) }).await
}

fn spool(mut input: impl Read, folder: &Path) -> Result<File, EngineError> {
    let in_folder = |source| EngineError::Open { path: folder.display().to_string(), source };
    let file = tempfile::tempfile_in(folder).map_err(in_folder)?;
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let filled = fill(&mut input, &mut chunk)
            .map_err(|source| EngineError::Open { path: STDIN.to_owned(), source })?;
        for block in chunk[..filled].chunks(HOLE) {
            if !is_zero(block) {
                file.write_all_at(block, at).map_err(|source| EngineError::write(at, source))?;
            }
            at += u64::try_from(block.len()).expect("a block is small");
        }
        if filled < CHUNK {
            file.set_len(at).map_err(|source| EngineError::write(at, source))?;
            return Ok(file);
        }
    }
}

/// Fills the buffer, or returns fewer bytes at the end of the input.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// Returns its bytes in small, uneven chunks, as pipes do.
    struct SmallReads<'a>(&'a [u8], usize);

    impl Read for SmallReads<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1 % 977 + 13;
            let count = self.1.min(buffer.len()).min(self.0.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn all_bytes_arrive_and_zeroes_stay_holes() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 1, HOLE, CHUNK, CHUNK + 1, 3 * CHUNK - 7] {
            let mut bytes = vec![0; length];
            bytes.iter_mut().skip(length / 2).step_by(HOLE * 4).for_each(|byte| *byte = 7);
            let file = spool(SmallReads(&bytes, 0), folder.path()).unwrap();
            assert_eq!(file.metadata().unwrap().len(), u64::try_from(length).unwrap());
            let mut read = vec![1; length];
            file.read_exact_at(&mut read, 0).unwrap();
            assert!(read == bytes, "{length}");
            assert!(
                file.metadata().unwrap().blocks() * 512 <= file.metadata().unwrap().len() / 2 + 65536 * 2
            );
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it has no name");
    }
}
