//! Reading past the page cache what is not in it.
//!
//! Bytes that come from a disk through the page cache are copied once more, and pages have to be
//! found for them: that was two thirds of the processor time of copying a cold disk, and it evicted
//! what others had in the cache for a file that is read once. What is in the cache already is read
//! from there: no disk is as fast.
//!
//! cachestat(2), of Linux 6.5 and later, reports what is in the cache. Elsewhere everything is read
//! through the cache.

use std::{
    fs::File,
    io,
    ops::Range,
    os::{
        fd::{AsRawFd, RawFd},
        unix::fs::FileExt,
    },
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::io::Errno;

use super::direct::{is_fast_uncached, open_direct};
use crate::util::{
    aligned::{PAGE, is_aligned},
    num::{align_down, align_up, to_u64, to_usize},
};

/// The smallest file that is read past the cache, in bytes: smaller ones will be read repeatedly,
/// and there is nothing to gain.
const MIN_FILE: u64 = 16 << 20;
/// The shortest read past the cache, in bytes.
const MIN_READ: u64 = 64 << 10;
/// The share of a range in the cache from which on the rest of it is read through the cache as
/// well: one part in this many.
const WARM_SHARE: u64 = 4;

/// A second descriptor of a file, which bypasses the cache.
#[derive(Debug)]
pub(super) struct Cold {
    file: File,
    /// Whether a part of the file was in the cache when it was opened, so that every range has to
    /// be checked.
    mixed: bool,
    /// False once the device has refused, because it requires more than page alignment.
    usable: AtomicBool,
}

/// `struct cachestat_range` (linux/mman.h).
#[repr(C)]
struct CachestatRange {
    offset: u64,
    length: u64,
}

/// `struct cachestat` (linux/mman.h), in pages.
#[repr(C)]
#[derive(Default)]
struct Cachestat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// The number of cachestat(2), the same on all architectures (asm-generic/unistd.h). The C
/// library's names for it are newer than the one that is built against.
const CACHESTAT: libc::c_long = 451;

/// Returns the number of pages of a range that are in the cache; `None` where the system does not
/// report it.
fn cached_pages(file: RawFd, offset: u64, length: u64) -> Option<u64> {
    let range = CachestatRange { offset, length };
    let mut found = Cachestat::default();
    #[expect(unsafe_code, reason = "a system call that no library offers")]
    // SAFETY: the kernel reads one structure and writes the other one, which mirror its own field
    // by field and live for the whole call; the last argument holds flags, of which there are none.
    let answer = unsafe { libc::syscall(CACHESTAT, file, &raw const range, &raw mut found, 0) };
    (answer == 0).then_some(found.cached)
}

impl Cold {
    /// Opens the second descriptor; `None` where the page cache is better, or the only way.
    pub(super) fn of(file: &File, size: u64) -> Option<Self> {
        if !is_fast_uncached(file) {
            return None;
        }
        Self::of_device(file, size)
    }

    /// Opens the second descriptor of a block device. Its blocks are pages at most; otherwise it
    /// refuses the first read, and the page cache is used.
    pub(super) fn of_device(file: &File, size: u64) -> Option<Self> {
        if size < MIN_FILE {
            return None;
        }
        let cached = cached_pages(file.as_raw_fd(), 0, size)?;
        if is_warm(cached, size) {
            return None;
        }
        let file = open_direct(file, rustix::fs::OFlags::RDONLY)?;
        Some(Self { file, mixed: cached > 0, usable: AtomicBool::new(true) })
    }

    /// Reads the whole pages of `buf` that are not in the cache, and returns the part of `buf` that
    /// was read.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> io::Result<Range<usize>> {
        let page = to_u64(PAGE);
        let first = align_up(offset, page).ok_or(io::ErrorKind::InvalidInput)?;
        let end = align_down(offset.saturating_add(to_u64(buf.len())), page);
        if end < first.saturating_add(MIN_READ) || !self.usable.load(Ordering::Relaxed) {
            return Ok(0..0);
        }
        let part = to_usize(first - offset)..to_usize(end - offset);
        let bytes = &mut buf[part.clone()];
        if !is_aligned(bytes) || (self.mixed && self.is_cached(first, end - first)) {
            return Ok(0..0);
        }
        match self.file.read_exact_at(bytes, first) {
            Ok(()) => Ok(part),
            // The device requires larger or differently placed blocks.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => {
                self.usable.store(false, Ordering::Relaxed);
                Ok(0..0)
            }
            Err(error) => Err(error),
        }
    }

    fn is_cached(&self, offset: u64, length: u64) -> bool {
        cached_pages(self.file.as_raw_fd(), offset, length).is_none_or(|cached| is_warm(cached, length))
    }
}

/// Reads what is not in the cache directly, if that is possible, and the rest through the cache of
/// `file`, which is the same file.
pub(super) fn read_exact_at(cold: Option<&Cold>, file: &File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    let Some(cold) = cold else { return file.read_exact_at(buf, offset) };
    let done = cold.read(buf, offset)?;
    file.read_exact_at(&mut buf[..done.start], offset)?;
    file.read_exact_at(&mut buf[done.end..], offset.saturating_add(to_u64(done.end)))
}

/// Returns whether the cache has enough of `size` bytes.
fn is_warm(pages: u64, length: u64) -> bool {
    pages.saturating_mul(WARM_SHARE) >= length.div_ceil(to_u64(PAGE))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::testing::Pattern;

    const SIZE: u64 = MIN_FILE + 5000;

    /// Returns a file that is in the cache. `None` where nothing can be read directly: then it has
    /// to be read through the cache.
    fn file(dir: &std::path::Path) -> Option<File> {
        let path = dir.join("file");
        let mut file = File::create_new(&path).unwrap();
        file.write_all(&Pattern { size: SIZE, seed: 3 }.bytes()).unwrap();
        file.sync_all().unwrap();
        let file = File::open(path).unwrap();
        assert!(Cold::of(&file, SIZE).is_none(), "just written");
        if is_fast_uncached(&file) && cached_pages(file.as_raw_fd(), 0, SIZE).is_some() {
            return Some(file);
        }
        evict(&file);
        assert!(Cold::of(&file, SIZE).is_none(), "neither the file system nor the kernel can");
        None
    }

    fn evict(file: &File) {
        rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }

    #[test]
    fn what_is_in_the_cache_is_read_from_there() {
        let dir = tempfile::tempdir_in(".").unwrap();
        let Some(file) = file(dir.path()) else { return };
        evict(&file);
        let cold = Cold::of(&file, SIZE).expect("nothing of it is cached");
        assert!(!cold.mixed);
        // A quarter of the first MiB, and all of the second one.
        let mut buffer = crate::util::aligned::AlignedBuffer::new(1 << 20);
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
        file.read_exact_at(&mut buffer[..4096], 0).unwrap();
        file.read_exact_at(&mut buffer, 1 << 20).unwrap();
        let mixed = Cold::of(&file, SIZE).expect("little of it is cached");
        assert!(mixed.mixed);
        assert_eq!(mixed.read(&mut buffer, 0).unwrap(), 0..1 << 20);
        assert_eq!(buffer[..], Pattern { size: SIZE, seed: 3 }.bytes()[..1 << 20]);
        assert_eq!(mixed.read(&mut buffer, 1 << 20).unwrap(), 0..0);
    }

    #[test]
    fn whole_pages_are_read_directly_and_the_rest_is_left() {
        let dir = tempfile::tempdir_in(".").unwrap();
        let Some(file) = file(dir.path()) else { return };
        evict(&file);
        let cold = Cold::of(&file, SIZE).expect("nothing of it is cached");
        let all = Pattern { size: SIZE, seed: 3 }.bytes();
        let mut buffer = crate::util::aligned::AlignedBuffer::new(1 << 20);
        let mut reads = |offset: u64, from: usize, length: usize| {
            buffer.fill(0);
            let bytes = &mut buffer[from..from + length];
            let part = cold.read(bytes, offset).unwrap();
            let at = to_usize(offset);
            assert_eq!(bytes[part.clone()], all[at + part.start..at + part.end]);
            part
        };
        assert_eq!(reads(4096, 0, 1 << 20), 0..1 << 20);
        assert_eq!(reads(8192, 0, (128 << 10) + 7), 0..128 << 10);
        assert_eq!(reads(100, 100, 256 << 10), 3996..(256 << 10) - 100, "both begin inside a page");
        assert_eq!(reads(100, 0, 256 << 10), 0..0, "memory and file do not fit together");
        assert_eq!(reads(4096, 0, 4096), 0..0, "too short");
        assert_eq!(reads(SIZE - 70_000, to_usize((SIZE - 70_000) % 4096), 70_000).len() % PAGE, 0);
    }
}
