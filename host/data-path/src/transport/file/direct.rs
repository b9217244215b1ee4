//! Writing past the page cache.
//!
//! A large file that is written through the page cache pays for every page three times: it is
//! copied, a page has to be found for it (which evicts what others need), and the final sync waits
//! for all of it at once. On a busy machine that was measured to be ten times slower than writing
//! directly.
//!
//! A file grows ahead of what is written, in large steps: writes inside of a file run in parallel,
//! one that makes it longer runs alone (four threads wrote 1.4 times as fast as one after the
//! other). Its size is set at the end.
//!
//! Only whole pages are written directly, from aligned memory. Other bytes are gathered to whole
//! blocks first. What is left of those at the end goes through the cache of another descriptor, and
//! because every byte of a file is written once, no page of the file is ever written in both ways.

use std::{
    fs::File,
    io,
    ops::Range,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::FileExt,
    },
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use imprint_ports::{ByteRange, openat};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use super::gather::{Block, Gather};
use crate::util::{
    aligned::{PAGE, is_aligned},
    lock::lock,
    num::{align_down, align_up, to_u64, to_usize},
};

/// The shortest run of pages that is written directly, in bytes; the cache combines shorter ones.
const MIN_DIRECT: u64 = 64 << 10;
/// The shortest write that is not gathered with its neighbours, in bytes: a write costs a disk as
/// much time as it needs for half a MiB, so that a disk of which some clusters compress and some do
/// not kept four threads waiting for small ones.
const MIN_UNGATHERED: usize = 512 << 10;
/// The shortest gap that stays a hole, in bytes; shorter ones are written as zeroes.
const MIN_HOLE: usize = 64 << 10;
/// The best length of one write by [`Direct`], in bytes.
const PREFERRED_WRITE: u64 = 1 << 20;
/// The step in which the file grows, in bytes.
const GROWTH_STEP: u64 = 64 << 20;

/// File systems that read and write directly as fast as their device can, by the magic numbers of
/// statfs(2): ext2 to ext4, and XFS. Others keep data in memory anyway (tmpfs), compute checksums
/// over what they cached (btrfs, ZFS), or are far away (NFS).
const EXT: u64 = 0xEF53;
/// The magic number of XFS; see [`EXT`].
const XFS: u64 = 0x5846_5342;

/// A second descriptor of a file, which bypasses the cache.
#[derive(Debug)]
pub(super) struct Direct {
    file: File,
    /// False once the device has refused, because it requires more than page alignment.
    usable: AtomicBool,
    /// Ext4 lets one writer at a time through the cache into a file, and the others spin: that was
    /// 38 % of the processor time of an operation whose writes end inside pages. With this lock
    /// they sleep. Direct writes share it.
    cache_lock: Option<RwLock<()>>,
    /// The least length of the file, in bytes.
    length: AtomicU64,
    growing: Mutex<()>,
    gather: Gather,
}

fn kind(file: &File) -> Option<u64> {
    u64::try_from(rustix::fs::fstatfs(file).ok()?.f_type).ok()
}

/// Returns whether the file's file system is as fast without its cache.
pub(super) fn is_fast_uncached(file: &File) -> bool {
    matches!(kind(file), Some(EXT | XFS))
}

/// Opens another descriptor of the file that bypasses the cache.
pub(super) fn open_direct(file: &File, access: OFlags) -> Option<File> {
    let flags = access | OFlags::DIRECT | OFlags::CLOEXEC;
    rustix::fs::open(openat::descriptor_path(file), flags, Mode::empty()).ok().map(File::from)
}

/// Returns the whole pages of a range; an empty range at its end where there are none.
fn whole_pages(start: u64, end: u64) -> io::Result<Range<u64>> {
    let page = to_u64(PAGE);
    let first = align_up(start, page).ok_or(io::ErrorKind::FileTooLarge)?;
    let last = align_down(end, page);
    Ok(if first < last { first..last } else { end..end })
}

impl Direct {
    /// Opens the second descriptor; `None` where the page cache is better, or the only way.
    pub(super) fn of(file: &File) -> Option<Self> {
        if !is_fast_uncached(file) {
            return None;
        }
        Some(Self::from_descriptor(open_direct(file, OFlags::WRONLY)?))
    }

    /// Opens the second descriptor of a block device, which is always written directly. Its blocks
    /// are pages at most; otherwise it refuses the first write, and the page cache is used.
    pub(super) fn of_device(device: &File) -> Option<Self> {
        // It never grows.
        let (length, growing) = (AtomicU64::new(u64::MAX), Mutex::new(()));
        Some(Self {
            file: open_direct(device, OFlags::WRONLY)?,
            usable: AtomicBool::new(true),
            cache_lock: None,
            length,
            growing,
            gather: Gather::default(),
        })
    }

    /// Uses a descriptor of [`Direct::descriptor`] in another process.
    pub(super) fn from_descriptor(file: File) -> Self {
        let cache_lock = (kind(&file) == Some(EXT)).then(RwLock::default);
        let length = rustix::fs::fstat(&file).ok().and_then(|stat| u64::try_from(stat.st_size).ok());
        Self {
            file,
            usable: AtomicBool::new(true),
            cache_lock,
            length: AtomicU64::new(length.unwrap_or(0)),
            growing: Mutex::new(()),
            gather: Gather::default(),
        }
    }

    /// Makes the file long enough for a write up to `end`. Everything that may make it longer has
    /// to call this, or it would be cut.
    pub(super) fn grow_to(&self, end: u64) {
        if end <= self.length.load(Ordering::Acquire) {
            return;
        }
        let _growing = lock(&self.growing);
        if end <= self.length.load(Ordering::Acquire) {
            return;
        }
        // Where the file cannot be so long, the writes themselves make it longer, or report why
        // not.
        let grown =
            align_up(end, GROWTH_STEP).filter(|size| rustix::fs::ftruncate(&self.file, *size).is_ok());
        self.length.store(grown.unwrap_or(end), Ordering::Release);
    }

    /// Records that the file is exactly `size` bytes long now.
    pub(super) fn set_length(&self, size: u64) {
        self.length.store(size, Ordering::Release);
    }

    /// Takes bytes for the file; `file` is a descriptor of the same file. They are written when
    /// [`Self::flush`] returns, if not before.
    pub(super) fn write_with(&self, file: &File, buf: &[u8], offset: u64) -> io::Result<()> {
        self.grow_to(offset.saturating_add(to_u64(buf.len())));
        if !self.usable() {
            return self.write_cached(file, buf, offset);
        }
        let pages = if buf.len() < MIN_UNGATHERED { 0..0 } else { self.write_pages(buf, offset)? };
        self.gather(file, &buf[..pages.start], offset)?;
        self.skip(file, offset + to_u64(pages.start), pages.len())?;
        self.gather(file, &buf[pages.end..], offset + to_u64(pages.end))
    }

    /// Gathers bytes with their neighbours.
    fn gather(&self, file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let (taken, ready) = self.gather.add(bytes, offset);
            bytes = &bytes[taken..];
            offset += to_u64(taken);
            ready.map_or(Ok(()), |block| self.write_block(file, block))?;
        }
        Ok(())
    }

    /// Records bytes that their neighbours need not wait for.
    fn skip(&self, file: &File, mut offset: u64, mut length: usize) -> io::Result<()> {
        while length > 0 {
            let (taken, ready) = self.gather.skip(length, offset);
            length -= taken;
            offset += to_u64(taken);
            ready.map_or(Ok(()), |block| self.write_block(file, block))?;
        }
        Ok(())
    }

    /// Records that a range will not be written: zeroes take its place, so that its neighbours are
    /// whole. A long one stays a hole except for the pages that it shares with them.
    pub(super) fn leave_out(&self, file: &File, range: ByteRange) -> io::Result<()> {
        let ByteRange { offset: start, length } = range;
        let end = start.checked_add(length).ok_or(io::ErrorKind::InvalidInput)?;
        if !self.usable() {
            return Ok(());
        }
        self.grow_to(end);
        let pages = whole_pages(start, end)?;
        let hole = if pages.end - pages.start < to_u64(MIN_HOLE) { end..end } else { pages };
        static ZEROES: [u8; MIN_HOLE + 2 * PAGE] = [0; MIN_HOLE + 2 * PAGE];
        self.gather(file, &ZEROES[..to_usize(hole.start - start)], start)?;
        self.skip(file, hole.start, to_usize(hole.end - hole.start))?;
        self.gather(file, &ZEROES[..to_usize(end - hole.end)], hole.end)
    }

    fn write_block(&self, file: &File, block: Block) -> io::Result<()> {
        for (bytes, at) in block.pieces() {
            let done = self.write_pages(bytes, at)?;
            self.write_cached(file, &bytes[..done.start], at)?;
            self.write_cached(file, &bytes[done.end..], at + to_u64(done.end))?;
        }
        self.gather.recycle(block);
        Ok(())
    }

    /// Writes the gathered blocks that are not whole.
    pub(super) fn flush(&self, file: &File) -> io::Result<()> {
        self.gather.take_rest().into_iter().try_for_each(|block| self.write_block(file, block))
    }

    fn write_cached(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let _guard =
            self.cache_lock.as_ref().map(|lock| lock.write().unwrap_or_else(PoisonError::into_inner));
        file.write_all_at(bytes, offset)
    }

    fn write_direct(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let _guard = self.cache_lock.as_ref().map(|lock| lock.read().unwrap_or_else(PoisonError::into_inner));
        self.file.write_all_at(bytes, offset)
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Returns the number of bytes that is best written at once, where writes are direct.
    pub(super) fn preferred(direct: Option<&Self>) -> u64 {
        direct.filter(|direct| direct.usable()).map_or(0, |_| PREFERRED_WRITE)
    }

    /// Returns whether writes may still be direct.
    fn usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }

    /// Writes the whole pages of `buf` directly, if they are aligned in memory and enough for it,
    /// and returns the part of `buf` that was written.
    fn write_pages(&self, buf: &[u8], offset: u64) -> io::Result<Range<usize>> {
        let pages = whole_pages(offset, offset + to_u64(buf.len()))?;
        if pages.end - pages.start < MIN_DIRECT || !self.usable() {
            return Ok(0..0);
        }
        let part = to_usize(pages.start - offset)..to_usize(pages.end - offset);
        let bytes = &buf[part.clone()];
        if !is_aligned(bytes) {
            return Ok(0..0);
        }
        match self.write_direct(bytes, pages.start) {
            Ok(()) => Ok(part),
            // The device requires larger or differently placed blocks. What was written is written
            // once more, the same.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => {
                self.usable.store(false, Ordering::Relaxed);
                Ok(0..0)
            }
            Err(error) => Err(error),
        }
    }
}
