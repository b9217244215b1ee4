//! `files`: bytes below granted directories, for storages that stream.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;

use super::{
    dirs::{blocking, io_error},
    error,
};
use crate::{
    bindings::host::imprint::{
        host::files,
        types::types::{Error, ErrorClass},
    },
    manifest::Access,
    state::State,
};

/// Bytes of one call.
const MAX_BYTES: usize = 1 << 20;
/// No file system holds longer files.
const MAX_SIZE: u64 = 1 << 62;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Read,
    Write,
    /// Writes, and makes the file when it is not there.
    Create,
}

/// Opens a regular file, and nothing that would have to be waited for.
fn open(dir: &Dir, path: &str, how: Open) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    options.read(how == Open::Read).write(how != Open::Read).create(how == Open::Create);
    options.custom_flags(i32::try_from(flags.bits()).map_err(io::Error::other)?);
    let file = dir.open_with(path, &options)?.into_std();
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
    }
}

fn read(dir: &Dir, path: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let file = open(dir, path, Open::Read)?;
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        let at = offset.saturating_add(u64::try_from(filled).map_err(io::Error::other)?);
        match file.read_at(&mut bytes[filled..], at) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(again) if again.kind() == io::ErrorKind::Interrupted => {}
            Err(failed) => return Err(failed),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn too_long(length: usize) -> Error {
    let text = format!("{length} bytes are too many for one call; at most {MAX_BYTES} go at once");
    error(ErrorClass::LimitExceeded, "files.length", text)
}

fn too_far(offset: u64) -> Error {
    error(ErrorClass::InvalidInput, "files.offset", format!("offset {offset} is behind the end of any file"))
}

impl State {
    /// Does something with a granted file off the async threads.
    async fn on_file<T: Send + 'static>(
        &mut self,
        grant: &str,
        path: String,
        access: Access,
        act: impl FnOnce(Arc<Dir>, &str) -> io::Result<T> + Send + 'static,
    ) -> wasmtime::Result<Result<T, Error>> {
        let dir = match self.dir(grant, Some(&path), access) {
            Ok(dir) => dir,
            Err(refused) => return Ok(Err(refused)),
        };
        blocking(move || act(dir, &path).map_err(|failed| io_error(&path, &failed))).await
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
        let act = move |dir: Arc<Dir>, path: &str| read(&dir, path, offset, length);
        let bytes = self.on_file(&grant, path, Access::ReadOnly, act).await?;
        if let Ok(bytes) = &bytes {
            self.plugin.counters.sent(bytes.len());
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
        self.plugin.counters.received(bytes.len());
        let act =
            move |dir: Arc<Dir>, path: &str| open(&dir, path, Open::Create)?.write_all_at(&bytes, offset);
        self.on_file(&grant, path, Access::ReadWrite, act).await
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
        let act = move |dir: Arc<Dir>, path: &str| open(&dir, path, Open::Create)?.set_len(size);
        self.on_file(&grant, path, Access::ReadWrite, act).await
    }

    async fn sync(&mut self, grant: String, path: String) -> wasmtime::Result<Result<(), Error>> {
        let act = |dir: Arc<Dir>, path: &str| open(&dir, path, Open::Write)?.sync_all();
        self.on_file(&grant, path, Access::ReadWrite, act).await
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode};

    use super::*;

    #[test]
    fn only_regular_files_below_the_grant_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pool = folder.path().join("pool");
        std::fs::create_dir(&pool).unwrap();
        std::fs::write(folder.path().join("outside"), b"secret").unwrap();
        std::os::unix::fs::symlink("../outside", pool.join("link")).unwrap();
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(CWD, pool.join("fifo"), FileType::Fifo, mode, 0).unwrap();
        let dir = Dir::open_ambient_dir(&pool, cap_std::ambient_authority()).unwrap();
        for how in [Open::Read, Open::Write, Open::Create] {
            for path in ["link", "fifo", ".", "../outside"] {
                assert!(open(&dir, path, how).is_err(), "{path}");
            }
        }
        assert_eq!(open(&dir, "new", Open::Write).unwrap_err().kind(), io::ErrorKind::NotFound);
        open(&dir, "new", Open::Create).unwrap().write_all_at(b"abcdef", 4).unwrap();
        assert_eq!(read(&dir, "new", 0, 100).unwrap(), b"\0\0\0\0abcdef");
        assert_eq!(read(&dir, "new", 5, 3).unwrap(), b"bcd");
        assert_eq!(read(&dir, "new", 100, 3).unwrap(), b"");
        assert_eq!(std::fs::read(folder.path().join("outside")).unwrap(), b"secret");
    }
}
