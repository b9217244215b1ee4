//! Standard input as an image: formats read here and there, and a pipe goes forward only, so its
//! bytes are put aside first.
//!
//! The file has no name: whatever ends the process, nothing of it stays.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
};

use imprint_data_path::{EngineError, is_zero};
use tokio::sync::oneshot;

use super::watch::Watch;

/// What names standard input or standard output among the arguments.
pub(super) const PIPE: &str = "-";
/// What messages call it.
pub(super) const STDIN: &str = "standard input";
/// Bytes read at once; blocks of zeroes of the second size stay holes.
const PIECE: usize = 1 << 20;
const HOLE: usize = 64 << 10;

/// Reads standard input to its end. Stops waiting, not reading, when somebody asks to: the thread
/// ends with the process.
pub(super) async fn standard_input(folder: Option<&Path>, watch: &Watch) -> Result<File, EngineError> {
    let folder = folder.map_or_else(std::env::temp_dir, Path::to_path_buf);
    let (done, answer) = oneshot::channel();
    let spooling = std::thread::Builder::new().name("spool".to_owned()).spawn(move || {
        // Nobody waits any more after a cancellation.
        let _ = done.send(spool(io::stdin().lock(), &folder));
    });
    spooling.map_err(|source| EngineError::Open { path: STDIN.to_owned(), source })?;
    watch.until(async { answer.await.unwrap_or(Err(EngineError::WorkerLost)) }).await
}

fn spool(mut input: impl Read, folder: &Path) -> Result<File, EngineError> {
    let named = |source| EngineError::Open { path: folder.display().to_string(), source };
    let file = tempfile::tempfile_in(folder).map_err(named)?;
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    loop {
        let filled = fill(&mut input, &mut piece)
            .map_err(|source| EngineError::Open { path: STDIN.to_owned(), source })?;
        for block in piece[..filled].chunks(HOLE) {
            if !is_zero(block) {
                file.write_all_at(block, at).map_err(|source| EngineError::write(at, source))?;
            }
            at += u64::try_from(block.len()).expect("a block is small");
        }
        if filled < PIECE {
            file.set_len(at).map_err(|source| EngineError::write(at, source))?;
            return Ok(file);
        }
    }
}

/// Fills the buffer unless the input ends before.
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

    /// Gives its bytes in small, uneven pieces, as pipes do.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
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
        for length in [0, 1, HOLE, PIECE, PIECE + 1, 3 * PIECE - 7] {
            let mut bytes = vec![0; length];
            bytes.iter_mut().skip(length / 2).step_by(HOLE * 4).for_each(|byte| *byte = 7);
            let file = spool(Dribble(&bytes, 0), folder.path()).unwrap();
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
