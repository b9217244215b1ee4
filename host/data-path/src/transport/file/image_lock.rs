//! Locks on disk files, as QEMU uses them: they show whether a process has a file open for writing.
//!
//! QEMU and `qemu-img` hold open-file-description locks on single bytes of an image
//! (`block/file-posix.c` of QEMU): byte 100 + P means "this process uses permission P", byte 200 +
//! P means "no other process may use P", where P is 0 for consistent reads, 1 for writes, 3 for
//! resizing. A running guest holds 101 and 103.

use std::{fs::File, io, path::Path};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
};

const READ: i64 = 0;
const WRITE: i64 = 1;
const RESIZE: i64 = 3;
const USED: i64 = 100;
const UNSHARED: i64 = 200;

/// The bytes of all permissions.
const ALL: i64 = 4;

/// This process's locks on a disk file: while the value exists, QEMU refuses to open the file for
/// writing.
#[derive(Debug)]
pub struct ReadLock {
    _file: File,
}

/// The reason why a disk file cannot be locked for reading.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A process has the file open for writing.
    #[error("the disk is in use by another process; shut the instance down completely and try again")]
    InUse,
    /// The file cannot be opened, or its file system has no locks.
    #[error("cannot read the locks of the disk: {0}")]
    Io(#[from] io::Error),
}

impl ReadLock {
    /// Opens the file and locks it for reading against writers. Blocks.
    ///
    /// # Errors
    ///
    /// [`LockError::InUse`] if a process has it open for writing, and [`LockError::Io`].
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        Self::of(File::open(path)?)
    }

    /// Locks an open file. The lock belongs to the opened file, with all of its duplicates.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub fn of(file: File) -> Result<Self, LockError> {
        for byte in [USED + READ, UNSHARED + WRITE, UNSHARED + RESIZE] {
            let lock = range(libc::F_RDLCK, byte);
            match fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)) {
                Ok(_) => {}
                Err(Errno::EAGAIN | Errno::EACCES) => return Err(LockError::InUse),
                Err(error) => return Err(LockError::Io(error.into())),
            }
        }
        // Our locks are in place before we test those of others, as in QEMU: of two processes that
        // start at once at most one continues.
        for byte in [USED + WRITE, USED + RESIZE, UNSHARED + READ] {
            if is_locked(&file, byte)? {
                return Err(LockError::InUse);
            }
        }
        Ok(Self { _file: file })
    }
}

/// Returns whether another process has an open file as the disk of a guest, or as one below it, be
/// it for reading only.
///
/// # Errors
///
/// The locks cannot be read: not every file system has them.
pub fn is_in_use(file: &File) -> io::Result<bool> {
    for first in [USED, UNSHARED] {
        if is_any_locked(file, first, ALL)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_locked(file: &File, byte: i64) -> io::Result<bool> {
    is_any_locked(file, byte, 1)
}

fn is_any_locked(file: &File, first: i64, length: i64) -> io::Result<bool> {
    let mut lock = libc::flock { l_len: length, ..range(libc::F_WRLCK, first) };
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

fn range(kind: i32, byte: i64) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).expect("lock types are small"),
        l_whence: i16::try_from(libc::SEEK_SET).expect("zero"),
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    fn lock(path: &Path, kind: i32, byte: i64) -> File {
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        fcntl(&file, FcntlArg::F_OFD_SETLK(&range(kind, byte))).unwrap();
        file
    }

    #[test]
    fn a_writer_is_noticed_and_a_reader_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        std::fs::write(&path, b"disk").unwrap();
        let reader = lock(&path, libc::F_RDLCK, USED + READ);
        drop(ReadLock::acquire(&path).unwrap());
        drop(reader);
        for byte in [USED + WRITE, USED + RESIZE, UNSHARED + READ] {
            let other = lock(&path, libc::F_RDLCK, byte);
            assert!(matches!(ReadLock::acquire(&path), Err(LockError::InUse)), "{byte}");
            drop(other);
        }
    }

    #[test]
    fn every_use_of_a_file_is_seen_before_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        std::fs::write(&path, b"disk").unwrap();
        let file = File::open(&path).unwrap();
        assert!(!is_in_use(&file).unwrap());
        for byte in [USED + READ, USED + WRITE, UNSHARED + READ, UNSHARED + RESIZE] {
            let other = lock(&path, libc::F_RDLCK, byte);
            assert!(is_in_use(&file).unwrap(), "{byte}");
            drop(other);
        }
        let held = ReadLock::of(file.try_clone().unwrap()).unwrap();
        assert!(!is_in_use(&file).unwrap(), "its own locks do not count");
        drop(held);
    }

    #[test]
    fn while_it_is_held_a_writer_notices_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        std::fs::write(&path, b"disk").unwrap();
        let held = ReadLock::acquire(&path).unwrap();
        let other = File::open(&path).unwrap();
        assert!(is_locked(&other, UNSHARED + WRITE).unwrap());
        drop(held);
        assert!(!is_locked(&other, UNSHARED + WRITE).unwrap());
    }
}
