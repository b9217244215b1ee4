//! Sharing the blocks of one file with another one, on file systems that can.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use imprint_ports::ByteRange;
use rustix::ioctl::{Opcode, Setter, opcode};

/// `struct file_clone_range` (linux/fs.h).
#[repr(C)]
struct FileCloneRange {
    src_fd: i64,
    src_offset: u64,
    src_length: u64,
    dest_offset: u64,
}

/// `FICLONERANGE` of ioctl_ficlonerange(2).
const FICLONERANGE: Opcode = opcode::write::<FileCloneRange>(0x94, 13);

/// Makes `target` share the blocks of a range of `source`. Both offsets and the length are
/// multiples of the block size.
pub(super) fn clone_range(
    target: &File,
    source: BorrowedFd<'_>,
    range: ByteRange,
    to: u64,
) -> io::Result<()> {
    let request = FileCloneRange {
        src_fd: i64::from(source.as_raw_fd()),
        src_offset: range.offset,
        src_length: range.length,
        dest_offset: to,
    };
    #[expect(unsafe_code, reason = "a system call that no safe library offers for ranges")]
    // SAFETY: the opcode takes a pointer to a `struct file_clone_range`, which the kernel only
    // reads and which `request` mirrors field by field; both descriptors are open for the whole
    // call.
    unsafe {
        rustix::ioctl::ioctl(target.as_fd(), Setter::<FICLONERANGE, FileCloneRange>::new(request))?;
    }
    Ok(())
}
