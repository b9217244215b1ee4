//! Scratch files: what a map holds beyond a few MiB lies in a file without a name, not in memory.
//!
//! A file is written once, from its begin to its end, and then only read. It has no name as soon as
//! it is there, so that nothing of it stays, whatever ends the process; only its owner could have
//! opened it.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use imprint_ports::openat;
use rustix::{
    fs::{CWD, Mode, OFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use crate::util::num::to_u64;

/// Bytes of one map that stay in memory: all of it, where there are not more.
const MEMORY_LIMIT: usize = 2 << 20;
/// Bytes of intervals that are sorted at once, for all sources of a layer together; twice as many
/// bytes merge them.
const SORT_BUFFER: usize = 4 << 20;
/// Bytes that are written at once.
const BUFFER: usize = 256 << 10;
/// Where scratch files are when nobody says where: not `/tmp`, which often is memory.
const SYSTEM: &str = "/var/tmp";
/// `TMPFS_MAGIC`, linux/magic.h.
const TMPFS: i64 = 0x0102_1994;
/// Names that are tried where the file system has no files without one.
const MAX_NAMES: usize = 16;

/// Why a scratch file is of no use. Nothing of it is left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ScratchError {
    /// It cannot be made.
    #[error(
        "the map is too large for memory, and no scratch file can be made in '{folder}' ({cause}); make the folder, or set \
         TMPDIR to one that may be written and is not in memory"
    )]
    Open {
        /// Where it was to be.
        folder: String,
        /// What the system tmpdir.
        cause: String,
    },
    /// There is no room for it.
    #[error(
        "no space left for scratch files in '{folder}'; free space there, or set TMPDIR to a folder with more, then try again"
    )]
    NoSpace {
        /// Where it is.
        folder: String,
    },
    /// It cannot be written or read.
    #[error(
        "a scratch file in '{folder}' cannot be written or read ({cause}); check that disk, or set TMPDIR to a folder elsewhere"
    )]
    Io {
        /// Where it is.
        folder: String,
        /// What the system tmpdir.
        cause: String,
    },
}

impl ScratchError {
    /// Dotted code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "scratch.open",
            Self::NoSpace { .. } => "scratch.no-space",
            Self::Io { .. } => "scratch.io",
        }
    }

    /// The same with other texts.
    pub(crate) fn map_text(self, change: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Open { folder, cause } => Self::Open { folder: change(&folder), cause: change(&cause) },
            Self::NoSpace { folder } => Self::NoSpace { folder: change(&folder) },
            Self::Io { folder, cause } => Self::Io { folder: change(&folder), cause: change(&cause) },
        }
    }
}

/// Where scratch files are made, and how much stays in memory.
///
/// The default is what [`configure`] tmpdir; without that it is the folder that `TMPDIR` names, and
/// `/var/tmp` without one.
#[derive(Clone, Debug)]
pub struct Scratch {
    place: Place,
    memory_limit: usize,
    sort_buffer: usize,
}

#[derive(Clone, Debug)]
enum Place {
    /// What the environment says.
    System,
    Folder(Arc<Path>),
    /// Nowhere: this process cannot open anything.
    Memory,
}

static CONFIGURED: OnceLock<Scratch> = OnceLock::new();

/// Says, once and before any job, where scratch files are made in this process: from then on
/// [`Scratch::default`] is that. `false` when it was tmpdir before.
pub fn configure(scratch: Scratch) -> bool {
    CONFIGURED.set(scratch).is_ok()
}

impl Default for Scratch {
    fn default() -> Self {
        CONFIGURED.get().cloned().unwrap_or(Self {
            place: Place::System,
            memory_limit: MEMORY_LIMIT,
            sort_buffer: SORT_BUFFER,
        })
    }
}

impl Scratch {
    /// Files in this folder. It has to be there when the first one is made.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            place: Place::Folder(folder.into().into()),
            memory_limit: MEMORY_LIMIT,
            sort_buffer: SORT_BUFFER,
        }
    }

    /// No files: all of a map is in memory, whatever its size.
    pub(crate) fn memory_only() -> Self {
        Self { place: Place::Memory, memory_limit: MEMORY_LIMIT, sort_buffer: usize::MAX }
    }

    /// Other bounds: bytes of a map that stay in memory, and bytes of intervals that are sorted at
    /// once.
    #[cfg(test)]
    pub(crate) fn with_limits(self, memory_limit: usize, sort_buffer: usize) -> Self {
        Self { memory_limit, sort_buffer, ..self }
    }

    /// Whether there may be files at all.
    pub(crate) fn has_files(&self) -> bool {
        !matches!(self.place, Place::Memory)
    }

    /// Bytes of a map that stay in memory, if there may be files.
    pub(crate) fn memory_limit(&self) -> usize {
        self.memory_limit
    }

    /// Bytes of intervals that are sorted at once.
    pub(crate) fn sort_buffer(&self) -> usize {
        self.sort_buffer
    }

    /// Makes a file.
    pub(crate) fn create(&self) -> Result<ScratchWriter, ScratchError> {
        let folder = match &self.place {
            Place::System => system_folder(std::env::var_os("TMPDIR").as_deref()),
            Place::Folder(folder) => folder.to_path_buf(),
            Place::Memory => PathBuf::new(),
        };
        let name: Arc<str> = folder.display().to_string().into();
        let (file, reader) = open(&folder)
            .map_err(|error| ScratchError::Open { folder: name.to_string(), cause: error.to_string() })?;
        if rustix::fs::fstatfs(&file).is_ok_and(|fs| fs.f_type == TMPFS) {
            tracing::warn!(folder = %name, "scratch files are in memory; set TMPDIR to a folder on a disk");
        }
        let reader = ScratchFile { file: Arc::new(reader), folder: name };
        Ok(ScratchWriter { file, reader, buffer: Vec::new(), at: 0 })
    }
}

fn system_folder(tmpdir: Option<&OsStr>) -> PathBuf {
    tmpdir.filter(|folder| !folder.is_empty()).unwrap_or(OsStr::new(SYSTEM)).into()
}

/// A file without a name: open for writing, and once more for reading only.
fn open(folder: &Path) -> io::Result<(File, File)> {
    let owner = Mode::RUSR | Mode::WUSR;
    let Some(file) = openat::create_unnamed(CWD, folder, OFlags::EXCL, owner)? else {
        return open_named(folder);
    };
    let reader =
        rustix::fs::open(openat::descriptor_path(&file), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok((file, reader.into()))
}

/// The same with a name that is gone when this returns.
fn open_named(folder: &Path) -> io::Result<(File, File)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let owner = Mode::RUSR | Mode::WUSR;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    for _ in 0..MAX_NAMES {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".imprint-scratch.{}.{number}", std::process::id()));
        let file = match rustix::fs::open(&path, flags, owner) {
            Ok(file) => file,
            Err(Errno::EXIST) => continue,
            Err(error) => return Err(error.into()),
        };
        let reader =
            rustix::fs::open(&path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        rustix::fs::unlink(&path)?;
        return Ok((file.into(), reader?.into()));
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A scratch file while it is written.
#[derive(Debug)]
pub(crate) struct ScratchWriter {
    file: File,
    reader: ScratchFile,
    buffer: Vec<u8>,
    /// Bytes that are in the file.
    at: u64,
}

impl ScratchWriter {
    /// Where the next byte goes.
    pub(crate) fn position(&self) -> u64 {
        self.at + to_u64(self.buffer.len())
    }

    /// Adds bytes at the end.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), ScratchError> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ScratchError> {
        self.file.write_all_at(&self.buffer, self.at).map_err(|error| self.reader.error(&error))?;
        self.at = self.position();
        self.buffer.clear();
        Ok(())
    }

    /// What was written, for reading. From here on nobody can write to it.
    pub(crate) fn finish(mut self) -> Result<ScratchFile, ScratchError> {
        self.flush()?;
        Ok(self.reader)
    }
}

/// A scratch file that is only read, by several threads at once.
#[derive(Clone, Debug)]
pub(crate) struct ScratchFile {
    file: Arc<File>,
    folder: Arc<str>,
}

impl ScratchFile {
    /// One that another process has written.
    pub(crate) fn from_file(file: File) -> Self {
        Self { file: Arc::new(file), folder: "the host's scratch folder".into() }
    }

    /// The open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Fills `buf` from `at`.
    pub(crate) fn read(&self, buf: &mut [u8], at: u64) -> Result<(), ScratchError> {
        self.file.read_exact_at(buf, at).map_err(|error| self.error(&error))
    }

    /// What is in the file is not what was written.
    pub(crate) fn damaged(&self) -> ScratchError {
        ScratchError::Io {
            folder: self.folder.to_string(),
            cause: "it does not hold what was written".to_owned(),
        }
    }

    fn error(&self, error: &io::Error) -> ScratchError {
        let folder = self.folder.to_string();
        match error.kind() == io::ErrorKind::StorageFull || error.kind() == io::ErrorKind::QuotaExceeded {
            true => ScratchError::NoSpace { folder },
            false => ScratchError::Io { folder, cause: error.to_string() },
        }
    }
}

#[cfg(test)]
mod tests;
