//! Sources and sinks over regular files.

mod cold;
mod device;
mod direct;
mod gather;
pub mod image_lock;
mod reflink;

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::FileExt,
    },
    sync::Arc,
};

use cap_std::fs::Dir;
use imprint_ports::{BlockSink, BlockSource, ByteRange, Descriptors, Segment, openat};
use rustix::{
    fs::{FileType, Mode, OFlags, SeekFrom, Stat},
    io::Errno,
};

use crate::{
    error::EngineError,
    util::num::{to_u64, to_usize},
};
use cold::Cold;
use direct::Direct;

pub use device::{DeviceSink, DeviceSource};

/// The largest number of holes that are distinguished; everything behind them counts as data.
const MAX_SEGMENTS: usize = 1 << 22;

/// The smallest number of bytes, and the smallest share of the file, in holes for which they are
/// searched: the search costs memory file systems a step for every page that exists (a third of a
/// whole copy), and whoever reads a hole finds its zeroes anyway.
const WORTHWHILE_HOLES: u64 = 1 << 20;
const WORTHWHILE_SHARE: u64 = 64;

/// A regular file as a source. Its size is fixed when it is opened: a file that is shorter later is
/// an error.
///
/// On ext4 and XFS, what is not in the page cache is read past it, in whole pages into aligned
/// memory.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    cold: Option<Cold>,
    size: u64,
    /// Whether the file has enough holes to search for them.
    sparse: bool,
    stamp: Stamp,
}

/// The properties of a file that change when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: (i64, i64),
}

impl FileSource {
    /// Opens a file below `dir`. `path` is relative; symlinks are not followed, and anything but a
    /// regular file is refused.
    ///
    /// # Errors
    ///
    /// [`EngineError::Open`] with what the system reports.
    pub fn open(dir: &Dir, path: &str) -> Result<Self, EngineError> {
        openat::open(dir, path, OFlags::RDONLY, Mode::empty())
            .and_then(Self::new)
            .map_err(|source| EngineError::Open { path: path.to_owned(), source })
    }

    /// Returns a source over an open file. `name` is for error messages.
    ///
    /// # Errors
    ///
    /// [`EngineError::Open`] where it is no regular file.
    pub fn from_file(file: File, name: &str) -> Result<Self, EngineError> {
        Self::new(file).map_err(|source| EngineError::Open { path: name.to_owned(), source })
    }

    fn new(file: File) -> io::Result<Self> {
        let source = Self::from_descriptor(file)?;
        Ok(Self { cold: Cold::of(&source.file, source.size), ..source })
    }

    /// Returns a source that reads through the page cache alone, with the few system calls that a
    /// mover may make.
    pub(crate) fn from_descriptor(file: File) -> io::Result<Self> {
        let stat = rustix::fs::fstat(&file)?;
        let stamp = Stamp::of(&stat)?;
        // POSIX counts blocks of 512 bytes, whatever the block size of the file system is.
        let allocated = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
        let holes = stamp.size.saturating_sub(allocated);
        let sparse = holes >= WORTHWHILE_HOLES.max(stamp.size / WORTHWHILE_SHARE);
        Ok(Self { file, cold: None, size: stamp.size, sparse, stamp })
    }
}

/// Returns the stamp of a regular file. Uses `fstat`, which a mover may call, and not `statx`,
/// which takes paths, too.
fn regular(file: &File) -> io::Result<Stamp> {
    Stamp::of(&rustix::fs::fstat(file)?)
}

impl Stamp {
    /// Returns the stamp; an error for anything but a regular file.
    fn of(stat: &Stat) -> io::Result<Self> {
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let size = u64::try_from(stat.st_size).map_err(io::Error::other)?;
        let nanoseconds = i64::try_from(stat.st_mtime_nsec).map_err(io::Error::other)?;
        Ok(Self { size, modified: (stat.st_mtime, nanoseconds) })
    }
}

impl BlockSource for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        cold::read_exact_at(self.cold.as_ref(), &self.file, buf, offset)
    }

    fn segments(&self, range: ByteRange) -> io::Result<Vec<Segment>> {
        let end = range.offset.saturating_add(range.length).min(self.size);
        if !self.sparse {
            return Ok(vec![Segment { range, zero: false }]);
        }
        let mut segments = Vec::new();
        let mut at = range.offset;
        while at < end && segments.len() < MAX_SEGMENTS {
            let data = match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
                Ok(data) => data.min(end),
                // Nothing but a hole up to the end of the file.
                Err(Errno::NXIO) => end,
                // The file system does not know its holes.
                Err(Errno::INVAL | Errno::OPNOTSUPP) => break,
                Err(error) => return Err(error.into()),
            };
            if data > at {
                segments.push(Segment { range: ByteRange { offset: at, length: data - at }, zero: true });
            }
            if data < end {
                let hole = rustix::fs::seek(&self.file, SeekFrom::Hole(data))?.min(end);
                if hole <= data {
                    // The file became shorter in the meantime.
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                segments
                    .push(Segment { range: ByteRange { offset: data, length: hole - data }, zero: false });
                at = hole;
            } else {
                at = end;
            }
        }
        if at < end {
            segments.push(Segment { range: ByteRange { offset: at, length: end - at }, zero: false });
        }
        Ok(segments)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }

    fn unchanged(&self) -> io::Result<bool> {
        Ok(regular(&self.file)? == self.stamp)
    }
}

/// A regular file as a sink that takes each byte once. What is never written stays a hole.
///
/// On ext4 and XFS writes go past the page cache (a second descriptor with `O_DIRECT`), elsewhere
/// through it. Writes below 512 KiB, and bytes that are not at a multiple of 4 KiB both in memory
/// and in the file, are gathered with their neighbours; [`BlockSink::set_size`] writes what is
/// still gathered. Memory for that: 10 MiB, and 1 MiB for each thread that writes.
#[derive(Debug)]
pub struct FileSink {
    file: File,
    direct: Option<Direct>,
    kept: Vec<ByteRange>,
}

impl FileSink {
    /// Creates a file below `dir` that only its owner may read and write.
    ///
    /// # Errors
    ///
    /// [`EngineError::Open`] where the name is taken, and with what the system reports;
    /// [`EngineError::NoSpace`] where the file system is full.
    pub fn create(dir: &Dir, path: &str) -> Result<Self, EngineError> {
        Self::open_with(dir, path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    /// Opens an existing file below `dir` and empties it.
    ///
    /// # Errors
    ///
    /// As [`FileSink::create`].
    pub fn truncate(dir: &Dir, path: &str) -> Result<Self, EngineError> {
        Self::open_with(dir, path, OFlags::RDWR | OFlags::TRUNC)
    }

    /// Opens an existing file below `dir` as it is, to write what an earlier writer of the same
    /// bytes has not. `kept` are the ranges that it made durable, in ascending order and without
    /// overlaps: those that the file is long enough for are offered by [`BlockSink::kept`].
    ///
    /// # Errors
    ///
    /// [`EngineError::Open`] where there is no such file, and with what the system reports.
    pub fn resume(dir: &Dir, path: &str, kept: Vec<ByteRange>) -> Result<Self, EngineError> {
        let sink = Self::open_with(dir, path, OFlags::RDWR)?;
        let stat = rustix::fs::fstat(&sink.file).map_err(io::Error::from);
        let length = stat.and_then(|stat| u64::try_from(stat.st_size).map_err(io::Error::other));
        let length = length.map_err(|source| EngineError::Open { path: path.to_owned(), source })?;
        let whole = |range: &ByteRange| range.offset.saturating_add(range.length) <= length;
        Ok(Self { kept: kept.into_iter().filter(whole).collect(), ..sink })
    }

    /// Returns a sink over a new, empty file that is already open. `name` is for error messages.
    ///
    /// # Errors
    ///
    /// [`EngineError::Open`] where it is no regular file.
    pub fn from_file(file: File, name: &str) -> Result<Self, EngineError> {
        match regular(&file) {
            Ok(_) => Ok(Self::over(file)),
            Err(source) => Err(EngineError::Open { path: name.to_owned(), source }),
        }
    }

    /// Returns a sink over the descriptors of another process's sink.
    pub(crate) fn from_descriptors(file: File, direct: Option<File>) -> io::Result<Self> {
        regular(&file)?;
        Ok(Self { file, direct: direct.map(Direct::from_descriptor), kept: Vec::new() })
    }

    fn over(file: File) -> Self {
        let direct = Direct::of(&file);
        Self { file, direct, kept: Vec::new() }
    }

    fn flush(&self) -> io::Result<()> {
        self.direct.as_ref().map_or(Ok(()), |direct| direct.flush(&self.file))
    }

    fn open_with(dir: &Dir, path: &str, flags: OFlags) -> Result<Self, EngineError> {
        let opened = openat::open(dir, path, flags, Mode::RUSR | Mode::WUSR)
            .and_then(|file| regular(&file).map(|_| file));
        match opened {
            Ok(file) => Ok(Self::over(file)),
            Err(source) => Err(EngineError::write_open(path, source)),
        }
    }
}

impl BlockSink for FileSink {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let Some(direct) = &self.direct else { return self.file.write_all_at(buf, offset) };
        direct.write_with(&self.file, buf, offset)
    }

    fn leave_out(&self, range: ByteRange) -> io::Result<()> {
        self.direct.as_ref().map_or(Ok(()), |direct| direct.leave_out(&self.file, range))
    }

    fn clone_range(&self, source: &dyn BlockSource, range: ByteRange, to: u64) -> io::Result<()> {
        let source = source.descriptor().ok_or(io::ErrorKind::Unsupported)?;
        if let Some(direct) = &self.direct {
            direct.grow_to(to.saturating_add(range.length));
        }
        reflink::clone_range(&self.file, source, range, to)
    }

    fn kept(&self) -> Vec<ByteRange> {
        self.kept.clone()
    }

    fn keep(&self, range: ByteRange) -> io::Result<()> {
        if self.kept.contains(&range) { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    fn preferred_write(&self) -> u64 {
        Direct::preferred(self.direct.as_ref())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.flush()?;
        self.file.set_len(size)?;
        if let Some(direct) = &self.direct {
            direct.set_length(size);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.flush()?;
        self.file.sync_all()
    }

    fn read_back(&self) -> io::Result<Option<Arc<dyn BlockSource>>> {
        self.flush()?;
        let file = self.file.try_clone()?;
        // What counts is what is on the disk, not what is in the page cache. This is only advice: a
        // file system that keeps its cache is read from there.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        Ok(Some(Arc::new(FileSource::new(file)?)))
    }

    fn descriptors(&self) -> Option<Descriptors<'_>> {
        let direct = self.direct.as_ref().map(Direct::descriptor);
        Some(Descriptors { file: self.file.as_fd(), direct })
    }
}

/// Bytes in memory as a source, for small things and for tests.
#[derive(Clone, Debug, Default)]
pub struct MemorySource(Vec<u8>);

impl MemorySource {
    /// Returns a source of these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl BlockSource for MemorySource {
    fn size(&self) -> u64 {
        to_u64(self.0.len())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.0.get(start..start.checked_add(buf.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }
}

/// Reads the first `head` and the last `tail` bytes of a source (fewer where it is shorter), as
/// probing needs them.
///
/// # Errors
///
/// Whatever reading the source reports.
pub fn head_and_tail(
    source: &dyn BlockSource,
    head: u32,
    tail: u32,
) -> Result<(Vec<u8>, Vec<u8>), EngineError> {
    let size = source.size();
    let read = |offset, length: u64| {
        let mut bytes = vec![0; to_usize(length)];
        source.read_exact_at(&mut bytes, offset).map_err(|error| EngineError::read(offset, length, error))?;
        Ok::<_, EngineError>(bytes)
    };
    let tail = u64::from(tail).min(size);
    Ok((read(0, u64::from(head).min(size))?, read(size - tail, tail)?))
}

#[cfg(test)]
mod tests;
