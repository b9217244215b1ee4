//! Block devices: logical volumes, loop devices, partitions, whole disks.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use imprint_ports::{BlockSink, BlockSource, block::write_zeroes_as_data};
use rustix::{
    fs::{FallocateFlags, FileType, SeekFrom},
    io::Errno,
};

use super::{
    cold::{self, Cold},
    direct::Direct,
};
use crate::{
    error::{EngineError, TooSmall},
    util::{
        aligned::PAGE,
        num::{align_down, align_up, to_u64},
    },
};

/// Returns the size of a device in bytes; an error for anything else. The size is the position of
/// its end (lseek(2) works on block devices, too).
fn size_of(file: &File) -> io::Result<u64> {
    let stat = rustix::fs::fstat(file)?;
    if !FileType::from_raw_mode(stat.st_mode).is_block_device() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a block device"));
    }
    Ok(rustix::fs::seek(file, SeekFrom::End(0))?)
}

/// A block device as a source. It reports no holes: zeroes are found by reading.
///
/// Writes by others in the meantime are not noticed: a device has no time of its last change. What
/// is not in the page cache is read past it, as with [`super::FileSource`].
#[derive(Debug)]
pub struct DeviceSource {
    file: File,
    cold: Option<Cold>,
    size: u64,
}

impl DeviceSource {
    /// Returns a source over an open device. `name` is for error messages.
    ///
    /// # Errors
    ///
    /// [`EngineError::Open`] where it is no block device.
    pub fn from_file(file: File, name: &str) -> Result<Self, EngineError> {
        match size_of(&file) {
            Ok(size) => Ok(Self::new(file, size)),
            Err(source) => Err(EngineError::Open { path: name.to_owned(), source }),
        }
    }

    fn new(file: File, size: u64) -> Self {
        Self { cold: Cold::of_device(&file, size), file, size }
    }
}

impl BlockSource for DeviceSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        cold::read_exact_at(self.cold.as_ref(), &self.file, buf, offset)
    }

    fn unchanged(&self) -> io::Result<bool> {
        Ok(size_of(&self.file)? == self.size)
    }
}

/// How a device makes a range zero, the best way first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zeroing {
    /// Discards the blocks, where the device promises that they read as zeroes then.
    Discard,
    /// Uses the device's own operation, or lets the kernel write pages of zeroes.
    Zero,
}

impl Zeroing {
    fn flags(self) -> FallocateFlags {
        match self {
            Self::Discard => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            Self::Zero => FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
        }
    }
}

/// A block device as a sink, which may have held something before: every byte of the image is
/// written, zeroes by the device's own operations where it has them. What is behind the image stays
/// as it is.
///
/// Whole pages go past the page cache, as with [`super::FileSink`].
#[derive(Debug)]
pub struct DeviceSink {
    file: File,
    direct: Option<Direct>,
    size: u64,
    /// False once the device has refused to discard.
    discards: AtomicBool,
    zeroes: AtomicBool,
}

impl DeviceSink {
    /// Returns a sink over a device that is open for reading and writing, best with `O_EXCL`, so
    /// that it is not mounted. `name` is for error messages.
    ///
    /// # Errors
    ///
    /// [`EngineError::Open`] where it is no block device.
    pub fn from_file(file: File, name: &str) -> Result<Self, EngineError> {
        match size_of(&file) {
            Ok(size) => Ok(Self {
                direct: Direct::of_device(&file),
                file,
                size,
                discards: AtomicBool::new(true),
                zeroes: AtomicBool::new(true),
            }),
            Err(source) => Err(EngineError::Open { path: name.to_owned(), source }),
        }
    }

    /// Returns the size of the device in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn flush(&self) -> io::Result<()> {
        self.direct.as_ref().map_or(Ok(()), |direct| direct.flush(&self.file))
    }

    fn fits(&self, end: u64) -> io::Result<()> {
        if end <= self.size { Ok(()) } else { Err(TooSmall { capacity: self.size, needed: end }.into()) }
    }

    /// Makes whole pages zero by an operation of the device; returns whether it did. The kernel
    /// accepts whole blocks of the device only, and pages are that.
    fn zero_pages(&self, offset: u64, length: u64) -> io::Result<bool> {
        for (way, usable) in [(Zeroing::Discard, &self.discards), (Zeroing::Zero, &self.zeroes)] {
            if !usable.load(Ordering::Relaxed) {
                continue;
            }
            match rustix::fs::fallocate(&self.file, way.flags(), offset, length) {
                Ok(()) => return Ok(true),
                // The device, or a kernel before 4.9, cannot do it.
                Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NODEV | Errno::NOSYS) => {
                    usable.store(false, Ordering::Relaxed);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}

impl BlockSink for DeviceSink {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.fits(offset.checked_add(to_u64(buf.len())).ok_or(io::ErrorKind::InvalidInput)?)?;
        let Some(direct) = &self.direct else { return self.file.write_all_at(buf, offset) };
        direct.write_with(&self.file, buf, offset)
    }

    fn preferred_write(&self) -> u64 {
        Direct::preferred(self.direct.as_ref())
    }

    /// Checks that the image fits; a device keeps its size.
    fn set_size(&self, size: u64) -> io::Result<()> {
        self.fits(size)?;
        self.flush()
    }

    fn sync(&self) -> io::Result<()> {
        self.flush()?;
        self.file.sync_all()
    }

    fn fresh(&self) -> bool {
        false
    }

    fn write_zeroes(&self, offset: u64, length: u64) -> io::Result<()> {
        let end = offset.checked_add(length).ok_or(io::ErrorKind::InvalidInput)?;
        self.fits(end)?;
        let page = to_u64(PAGE);
        let first = align_up(offset, page).ok_or(io::ErrorKind::InvalidInput)?;
        let last = align_down(end, page);
        if first >= last || !self.zero_pages(first, last - first)? {
            return write_zeroes_as_data(self, offset, length);
        }
        write_zeroes_as_data(self, offset, first - offset)?;
        write_zeroes_as_data(self, last, end - last)
    }

    fn read_back(&self) -> io::Result<Option<Arc<dyn BlockSource>>> {
        self.flush()?;
        let file = self.file.try_clone()?;
        // What counts is what is on the disk, not what is in the page cache. This is only advice.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        Ok(Some(Arc::new(DeviceSource::new(file, self.size))))
    }
}
