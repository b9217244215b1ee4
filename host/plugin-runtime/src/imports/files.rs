//! `files`: bytes below granted directories, for storages that stream.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;

use super::dirs::{io_error, run_blocking};
use crate::{
    bindings::host::imprint::{host::files, types::types::Error},
    codes::Code,
    manifest::Access,
    state::State,
    wit_error,
};

/// Bytes that one call may read or write.
const MAX_BYTES: usize = 1 << 20;
/// The largest size of a file, in bytes: no file system holds longer ones.
const MAX_SIZE: u64 = 1 << 62;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Read,
    Write,
    /// Writes, and creates the file when it does not exist.
    Create,
}

/// Opens a regular file, and nothing that could block, such as a FIFO.
fn open(dir: &Dir, path: &str, mode: Mode) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    options.read(mode == Mode::Read).write(mode != Mode::Read).create(mode == Mode::Create);
    options.custom_flags(i32::try_from(flags.bits()).map_err(io::Error::other)?);
    let file = dir.open_with(path, &options)?.into_std();
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok(file)
    } else if metadata.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

fn read(dir: &Dir, path: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let file = open(dir, path, Mode::Read)?;
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        let at = offset.saturating_add(u64::try_from(filled).map_err(io::Error::other)?);
        match file.read_at(&mut bytes[filled..], at) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn too_long(length: usize) -> Error {
    let message = format!("{length} bytes are too many for one call; at most {MAX_BYTES} are possible");
    wit_error::new(Code::FilesLength, message)
}

fn too_far(offset: u64) -> Error {
    wit_error::new(Code::FilesOffset, format!("offset {offset} is beyond the end of any file"))
}

impl State {
    /// Runs an operation on a granted file on tokio's blocking pool.
    async fn on_file<T: Send + 'static>(
        &mut self,
        grant: &str,
        path: String,
        access: Access,
        operation: impl FnOnce(Arc<Dir>, &str) -> io::Result<T> + Send + 'static,
    ) -> wasmtime::Result<Result<T, Error>> {
        let dir = match self.dir(grant, Some(&path), access) {
            Ok(dir) => dir,
            Err(refused) => return Ok(Err(refused)),
        };
        run_blocking(move || operation(dir, &path).map_err(|error| io_error(&path, &error))).await
    }
}

impl files::Host for State {
    async fn read_at(
        &mut self,
        grant: String,
        path: String,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX_BYTES {
            return Ok(Err(too_long(length)));
        }
        let operation = move |dir: Arc<Dir>, path: &str| read(&dir, path, offset, length);
        let bytes = self.on_file(&grant, path, Access::ReadOnly, operation).await?;
        if let Ok(bytes) = &bytes {
            self.plugin.counters.count_to_plugin(bytes.len());
        }
        Ok(bytes)
    }

    async fn write_at(
        &mut self,
        grant: String,
        path: String,
        offset: u64,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        if bytes.len() > MAX_BYTES {
            return Ok(Err(too_long(bytes.len())));
        }
        if offset > MAX_SIZE {
            return Ok(Err(too_far(offset)));
        }
        self.plugin.counters.count_from_plugin(bytes.len());
        let operation =
            move |dir: Arc<Dir>, path: &str| open(&dir, path, Mode::Create)?.write_all_at(&bytes, offset);
        self.on_file(&grant, path, Access::ReadWrite, operation).await
    }

    async fn set_size(
        &mut self,
        grant: String,
        path: String,
        size: u64,
    ) -> wasmtime::Result<Result<(), Error>> {
        if size > MAX_SIZE {
            return Ok(Err(too_far(size)));
        }
        let operation = move |dir: Arc<Dir>, path: &str| open(&dir, path, Mode::Create)?.set_len(size);
        self.on_file(&grant, path, Access::ReadWrite, operation).await
    }

    async fn sync(&mut self, grant: String, path: String) -> wasmtime::Result<Result<(), Error>> {
        let operation = |dir: Arc<Dir>, path: &str| open(&dir, path, Mode::Write)?.sync_all();
        self.on_file(&grant, path, Access::ReadWrite, operation).await
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType};

    use super::*;

    #[test]
    fn only_regular_files_below_the_grant_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pool = folder.path().join("pool");
        std::fs::create_dir(&pool).unwrap();
        std::fs::write(folder.path().join("outside"), b"secret").unwrap();
        std::os::unix::fs::symlink("../outside", pool.join("link")).unwrap();
        let permissions = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(CWD, pool.join("fifo"), FileType::Fifo, permissions, 0).unwrap();
        let dir = Dir::open_ambient_dir(&pool, cap_std::ambient_authority()).unwrap();
        for mode in [Mode::Read, Mode::Write, Mode::Create] {
            for path in ["link", "fifo", ".", "../outside"] {
                assert!(open(&dir, path, mode).is_err(), "{path}");
            }
        }
        assert_eq!(open(&dir, "new", Mode::Write).unwrap_err().kind(), io::ErrorKind::NotFound);
        open(&dir, "new", Mode::Create).unwrap().write_all_at(b"abcdef", 4).unwrap();
        assert_eq!(read(&dir, "new", 0, 100).unwrap(), b"\0\0\0\0abcdef");
        assert_eq!(read(&dir, "new", 5, 3).unwrap(), b"bcd");
        assert_eq!(read(&dir, "new", 100, 3).unwrap(), b"");
        assert_eq!(std::fs::read(folder.path().join("outside")).unwrap(), b"secret");
    }
}
