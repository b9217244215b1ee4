//! Writing past the page cache.
//!
//! A large file that is written through the page cache pays for every page three times: it is copied, a page has to be found
//! for it (which pushes out what others need), and the final sync waits for all of it at once. On a busy machine that was
//! measured to be ten times slower than writing directly.
//!
//! A file grows ahead of what is written, in large steps: writes inside of a file go side by side, one that makes it longer goes
//! alone (four threads wrote 1.4 times as fast as one after the other). Its size is settled at the end.
//!
//! Only whole pages go directly. What is left of a write at its ends goes through the cache of another descriptor, and because
//! every byte of a file is written once, no page of the file is ever written in both ways.

use std::{
    cell::RefCell,
    fs::File,
    io,
    ops::Range,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::fs::FileExt,
    },
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use crate::{
    aligned::{AlignedBuffer, PAGE, is_aligned},
    num::{align_down, align_up, to_u64, to_usize},
};

/// Shorter runs of pages go through the cache, which puts neighbours together.
const LEAST: u64 = 64 << 10;
/// Bytes that do not lie right in memory are moved in steps of so many.
const BOUNCE: usize = 1 << 20;
/// What one write by [`Direct`] is best.
const PREFERRED: u64 = 1 << 20;
/// Steps in which the file grows.
const GROWTH: u64 = 64 << 20;

/// File systems that read and write directly as fast as their device can, by the magic numbers of statfs(2): ext2 to ext4, and XFS.
/// Others keep data in memory anyway (tmpfs), compute checksums over what they cached (btrfs, ZFS), or are far away (NFS).
const EXT: u64 = 0xEF53;
/// See [`EXT`].
const XFS: u64 = 0x5846_5342;

thread_local! {
    static BOUNCED: RefCell<Option<AlignedBuffer>> = const { RefCell::new(None) };
}

/// A second descriptor of a file, which does not use the cache.
#[derive(Debug)]
pub(super) struct Direct {
    file: File,
    /// Until the device refuses, because it wants more than pages.
    usable: AtomicBool,
    /// Ext4 lets one writer at a time through the cache into a file, and the others spin: that was 38 % of the processor time of
    /// a job whose writes end inside pages. Here they sleep. Direct writes share it.
    turn: Option<RwLock<()>>,
    /// The file is at least this long.
    length: AtomicU64,
    growing: Mutex<()>,
}

fn kind(file: &File) -> Option<u64> {
    u64::try_from(rustix::fs::fstatfs(file).ok()?.f_type).ok()
}

/// Whether the file lies on a file system that is as fast without its cache.
pub(super) fn is_worthwhile(file: &File) -> bool {
    matches!(kind(file), Some(EXT | XFS))
}

/// Another descriptor of the file, without the cache.
pub(super) fn open_direct(file: &File, access: OFlags) -> Option<File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = access | OFlags::DIRECT | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok().map(File::from)
}

impl Direct {
    /// `None` where the page cache is the better way, or the only one.
    pub(super) fn of(file: &File) -> Option<Self> {
        if !is_worthwhile(file) {
            return None;
        }
        Some(Self::from_descriptor(open_direct(file, OFlags::WRONLY)?))
    }

    /// The same for a block device, which is always written directly. Its blocks are pages at most; otherwise it refuses the
    /// first write, and the page cache does it.
    pub(super) fn of_device(device: &File) -> Option<Self> {
        // It never grows.
        let (length, growing) = (AtomicU64::new(u64::MAX), Mutex::new(()));
        Some(Self {
            file: open_direct(device, OFlags::WRONLY)?,
            usable: AtomicBool::new(true),
            turn: None,
            length,
            growing,
        })
    }

    /// A descriptor of [`Direct::descriptor`] in another process.
    pub(super) fn from_descriptor(file: File) -> Self {
        let turn = (kind(&file) == Some(EXT)).then(RwLock::default);
        let length = rustix::fs::fstat(&file).ok().and_then(|stat| u64::try_from(stat.st_size).ok());
        Self {
            file,
            usable: AtomicBool::new(true),
            turn,
            length: AtomicU64::new(length.unwrap_or(0)),
            growing: Mutex::new(()),
        }
    }

    /// Makes the file long enough for what is to be written up to `end`. All that may make it longer has to come by here, or it
    /// would be cut.
    pub(super) fn reach(&self, end: u64) {
        if end <= self.length.load(Ordering::Acquire) {
            return;
        }
        let _growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        if end <= self.length.load(Ordering::Acquire) {
            return;
        }
        // Where the file must not be so long, the writes themselves make it longer, or say why not.
        let grown = align_up(end, GROWTH).filter(|size| rustix::fs::ftruncate(&self.file, *size).is_ok());
        self.length.store(grown.unwrap_or(end), Ordering::Release);
    }

    /// The file is exactly so long now.
    pub(super) fn settle(&self, size: u64) {
        self.length.store(size, Ordering::Release);
    }

    /// Writes directly what can go that way, and the rest through the cache of `file`, which is the same one.
    pub(super) fn write_with(&self, file: &File, buf: &[u8], offset: u64) -> io::Result<()> {
        self.reach(offset.saturating_add(to_u64(buf.len())));
        let done = self.write(buf, offset)?;
        self.write_cached(file, &buf[..done.start], offset)?;
        self.write_cached(file, &buf[done.end..], offset + to_u64(done.end))
    }

    fn write_cached(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let _turn = self.turn.as_ref().map(|turn| turn.write().unwrap_or_else(PoisonError::into_inner));
        file.write_all_at(bytes, offset)
    }

    fn write_direct(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let _turn = self.turn.as_ref().map(|turn| turn.read().unwrap_or_else(PoisonError::into_inner));
        self.file.write_all_at(bytes, offset)
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Bytes that are best written at once, where writes go directly.
    pub(super) fn preferred(direct: Option<&Self>) -> u64 {
        direct.filter(|direct| direct.usable()).map_or(0, |_| PREFERRED)
    }

    /// Whether writes may still go directly.
    fn usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }

    /// Writes the whole pages of `buf`, and says which part of it that was.
    fn write(&self, buf: &[u8], offset: u64) -> io::Result<Range<usize>> {
        let page = to_u64(PAGE);
        let first = align_up(offset, page).ok_or(io::ErrorKind::FileTooLarge)?;
        let end = align_down(offset + to_u64(buf.len()), page);
        if end < first.saturating_add(LEAST) || !self.usable() {
            return Ok(0..0);
        }
        let part = to_usize(first - offset)..to_usize(end - offset);
        let bytes = &buf[part.clone()];
        let written = match is_aligned(bytes) {
            true => self.write_direct(bytes, first),
            false => self.bounce(bytes, first),
        };
        match written {
            Ok(()) => Ok(part),
            // The device wants larger or differently placed blocks. What was written is written again, the same.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => {
                self.usable.store(false, Ordering::Relaxed);
                Ok(0..0)
            }
            Err(error) => Err(error),
        }
    }

    fn bounce(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        BOUNCED.with_borrow_mut(|buffer| {
            let buffer = buffer.get_or_insert_with(|| AlignedBuffer::new(BOUNCE));
            bytes.chunks(BOUNCE).zip((offset..).step_by(BOUNCE)).try_for_each(|(chunk, at)| {
                buffer[..chunk.len()].copy_from_slice(chunk);
                self.write_direct(&buffer[..chunk.len()], at)
            })
        })
    }
}
