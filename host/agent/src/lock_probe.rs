//! Whether somebody has a disk file open for writing, seen through QEMU's locks.
//!
//! QEMU (and `qemu-img`) marks what it does with an image by open-file-description locks on single
//! bytes: byte 100 + P says "I use permission P", byte 200 + P says "nobody else may use P", where
//! P is 0 for consistent reads, 1 for writes, 3 for resizing. A running instance shows 101 and 103.

use std::{fs::File, io, path::Path};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};

const READ: i64 = 0;
const WRITE: i64 = 1;
const RESIZE: i64 = 3;
const USED: i64 = 100;
const UNSHARED: i64 = 200;

/// Our own marks on a disk file: while this lives, QEMU refuses to open the file for writing.
#[derive(Debug)]
pub(crate) struct ReadLock {
    _file: File,
}

/// Why a disk file may not be read as a stopped one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("the disk is in use by another process; shut the instance down completely and try again")]
    InUse,
    #[error("cannot look at the locks of the disk: {0}")]
    Io(#[from] io::Error),
}

impl ReadLock {
    /// Marks the file as "being read, and nobody may write or resize it"; fails if somebody may.
    pub(crate) fn take(path: &Path) -> Result<Self, LockError> {
        let file = File::open(path)?;
        for byte in [USED + READ, UNSHARED + WRITE, UNSHARED + RESIZE] {
            let lock = range(libc::F_RDLCK, byte);
            match fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)) {
                Ok(_) => {}
                Err(Errno::EAGAIN | Errno::EACCES) => return Err(LockError::InUse),
                Err(error) => return Err(LockError::Io(error.into())),
            }
        }
        // Ours are in place before we look at theirs, as QEMU does it: of two that start at once at
        // most one goes on.
        for byte in [USED + WRITE, USED + RESIZE, UNSHARED + READ] {
            if is_locked(&file, byte)? {
                return Err(LockError::InUse);
            }
        }
        Ok(Self { _file: file })
    }
}

fn is_locked(file: &File, byte: i64) -> io::Result<bool> {
    let mut lock = range(libc::F_WRLCK, byte);
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
    fn a_writer_is_seen_and_a_reader_is_let_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        std::fs::write(&path, b"disk").unwrap();
        let reader = lock(&path, libc::F_RDLCK, USED + READ);
        drop(ReadLock::take(&path).unwrap());
        drop(reader);
        for byte in [USED + WRITE, USED + RESIZE, UNSHARED + READ] {
            let other = lock(&path, libc::F_RDLCK, byte);
            assert!(matches!(ReadLock::take(&path), Err(LockError::InUse)), "{byte}");
            drop(other);
        }
    }

    #[test]
    fn while_it_is_held_a_writer_sees_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        std::fs::write(&path, b"disk").unwrap();
        let held = ReadLock::take(&path).unwrap();
        let other = File::open(&path).unwrap();
        assert!(is_locked(&other, UNSHARED + WRITE).unwrap());
        drop(held);
        assert!(!is_locked(&other, UNSHARED + WRITE).unwrap());
    }
}
