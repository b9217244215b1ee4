//! Scratch files: what a map holds beyond a few MiB is stored in a file without a name, not in
//! memory.
//!
//! A file is written once, from its start to its end, and then only read. It loses its name as soon
//! as it exists, so that nothing of it stays, however the process ends; only its owner could have
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

/// The number of bytes of one map that stay in memory: all of it, where there are not more.
const MEMORY_LIMIT: usize = 2 << 20;
/// The number of bytes of intervals that are sorted at once, for all sources of a layer together;
/// twice as many bytes merge them.
const SORT_BUFFER: usize = 4 << 20;
/// The number of bytes that are written at once.
const BUFFER: usize = 256 << 10;
/// The folder for scratch files without a setting: not `/tmp`, which often is in memory.
const SYSTEM: &str = "/var/tmp";
/// `TMPFS_MAGIC`, linux/magic.h.
const TMPFS: i64 = 0x0102_1994;
/// The number of names that are tried where the file system has no unnamed files.
const MAX_NAMES: usize = 16;

/// Why a scratch file cannot be used. Nothing of it is left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ScratchError {
    /// It cannot be created.
    #[error(
        "the map is too large for memory, and no scratch file can be made in '{folder}' ({cause}); make the folder, or set \
         TMPDIR to one that may be written and is not in memory"
    )]
    Open {
        /// The folder where it was to be created.
        folder: String,
        /// What the system reports.
        cause: String,
    },
    /// The file system is full.
    #[error(
        "no space left for scratch files in '{folder}'; free space there, or set TMPDIR to a folder with more, then try again"
    )]
    NoSpace {
        /// The folder of the file.
        folder: String,
    },
    /// It cannot be written or read.
    #[error(
        "a scratch file in '{folder}' cannot be written or read ({cause}); check that disk, or set TMPDIR to a folder elsewhere"
    )]
    Io {
        /// The folder of the file.
        folder: String,
        /// What the system reports.
        cause: String,
    },
}

impl ScratchError {
    /// Returns the dotted code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "scratch.open",
            Self::NoSpace { .. } => "scratch.no-space",
            Self::Io { .. } => "scratch.io",
        }
    }

    /// Returns the same error with changed texts.
    pub(crate) fn map_text(self, change: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Open { folder, cause } => Self::Open { folder: change(&folder), cause: change(&cause) },
            Self::NoSpace { folder } => Self::NoSpace { folder: change(&folder) },
            Self::Io { folder, cause } => Self::Io { folder: change(&folder), cause: change(&cause) },
        }
    }
}

/// Where scratch files are created, and how much of a map stays in memory.
///
/// The default is the setting of [`configure`]; without one it is the folder that `TMPDIR` names,
/// and `/var/tmp` without that.
#[derive(Clone, Debug)]
pub struct Scratch {
    place: Place,
    memory_limit: usize,
    sort_buffer: usize,
}

#[derive(Clone, Debug)]
enum Place {
    /// The folder that the environment names.
    System,
    Folder(Arc<Path>),
    /// Nowhere: this process cannot open anything.
    Memory,
}

static CONFIGURED: OnceLock<Scratch> = OnceLock::new();

/// Sets, once and before any operation, where this process creates scratch files:
/// [`Scratch::default`] returns it from then on. Returns `false` when it was set before.
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
    /// Returns a setting for files in this folder, which has to exist when the first file is
    /// created.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            place: Place::Folder(folder.into().into()),
            memory_limit: MEMORY_LIMIT,
            sort_buffer: SORT_BUFFER,
        }
    }

    /// Returns a setting without files: all of a map is in memory, whatever its size.
    pub(crate) fn memory_only() -> Self {
        Self { place: Place::Memory, memory_limit: MEMORY_LIMIT, sort_buffer: usize::MAX }
    }

    /// Returns the setting with other limits: the number of bytes of a map that stay in memory, and
    /// the number of bytes of intervals that are sorted at once.
    #[cfg(test)]
    pub(crate) fn with_limits(self, memory_limit: usize, sort_buffer: usize) -> Self {
        Self { memory_limit, sort_buffer, ..self }
    }

    /// Returns whether files may be created.
    pub(crate) fn has_files(&self) -> bool {
        !matches!(self.place, Place::Memory)
    }

    /// Returns the number of bytes of a map that stay in memory, if files may be created.
    pub(crate) fn memory_limit(&self) -> usize {
        self.memory_limit
    }

    /// Returns the number of bytes of intervals that are sorted at once.
    pub(crate) fn sort_buffer(&self) -> usize {
        self.sort_buffer
    }

    /// Creates a file.
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

/// Creates a file without a name and returns two descriptors: for writing, and for reading only.
fn open(folder: &Path) -> io::Result<(File, File)> {
    let owner = Mode::RUSR | Mode::WUSR;
    let Some(file) = openat::create_unnamed(CWD, folder, OFlags::EXCL, owner)? else {
        return open_named(folder);
    };
    let reader =
        rustix::fs::open(openat::descriptor_path(&file), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok((file, reader.into()))
}

/// Does the same with a name, which is removed when this returns.
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
    /// The number of bytes in the file.
    at: u64,
}

impl ScratchWriter {
    /// Returns the offset of the next byte.
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

    /// Returns what was written, for reading. It cannot be written any more.
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
    /// Returns a file that another process has written.
    pub(crate) fn from_file(file: File) -> Self {
        Self { file: Arc::new(file), folder: "the host's scratch folder".into() }
    }

    /// Returns the open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Fills `buf` from `at`.
    pub(crate) fn read(&self, buf: &mut [u8], at: u64) -> Result<(), ScratchError> {
        self.file.read_exact_at(buf, at).map_err(|error| self.error(&error))
    }

    /// Returns the error for a file that does not contain what was written.
    pub(crate) fn damaged(&self) -> ScratchError {
        ScratchError::Io {
            folder: self.folder.to_string(),
            cause: "it does not hold what was written".to_owned(),
        }
    }

    fn error(&self, error: &io::Error) -> ScratchError {
        let folder = self.folder.to_string();
        if error.kind() == io::ErrorKind::StorageFull || error.kind() == io::ErrorKind::QuotaExceeded {
            ScratchError::NoSpace { folder }
        } else {
            ScratchError::Io { folder, cause: error.to_string() }
        }
    }
}

#[cfg(test)]
mod tests;
