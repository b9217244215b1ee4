//! Where bytes come from and go to. Blocking calls: the engine's own threads make them, never an
//! async task.

use std::{io, os::fd::BorrowedFd, sync::Arc};

use crate::ByteRange;

/// A piece of a source as the transport sees it, before anybody looks at the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where.
    pub range: ByteRange,
    /// Known to read as zeroes without reading it.
    pub zero: bool,
}

/// Random-access bytes that can be read from several threads at once.
pub trait BlockSource: Send + Sync {
    /// Bytes, fixed when it was opened.
    fn size(&self) -> u64;
    /// Fills `buf` from `offset`; anything shorter is [`io::ErrorKind::UnexpectedEof`].
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// Describes `[range]` in ascending order without gaps: what the transport knows to be zero
    /// (holes of a file, NBD block status). The default knows nothing.
    fn segments(&self, range: ByteRange) -> io::Result<Vec<Segment>> {
        Ok(vec![Segment { range, zero: false }])
    }
    /// Bytes that are best read at once, where the transport has an opinion: one that keeps several
    /// requests in flight wants reads that are longer than one request.
    fn preferred_read(&self) -> u64 {
        0
    }
    /// The open file whose bytes these are, offset for offset, where there is one: another process
    /// may read it instead.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// Whether the source is still what it was when it was opened, as far as the transport can
    /// tell.
    fn unchanged(&self) -> io::Result<bool> {
        Ok(true)
    }
}

/// Bytes that can be written from several threads at once, to disjoint ranges.
pub trait BlockSink: Send + Sync {
    /// Takes all of `buf` for `offset`, growing the sink as needed, or more: [`Self::set_size`]
    /// settles how long it is. Whoever reads the sink finds it there when [`Self::set_size`] or
    /// [`Self::sync`] has returned after it.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the sink exactly this long, with all that was written to it; what was never written
    /// reads as zeroes where the sink is [fresh](Self::fresh).
    fn set_size(&self, size: u64) -> io::Result<()>;
    /// Bytes that are best written at once, where the sink has an opinion.
    fn preferred_write(&self) -> u64 {
        0
    }
    /// Everything written is durable when this returns.
    fn sync(&self) -> io::Result<()>;
    /// Whether what was never written reads as zeroes. A device that held something before is not
    /// fresh: all of the file is written there.
    fn fresh(&self) -> bool {
        true
    }
    /// Whether it takes every byte in turn, from the first to the last, and never an earlier one
    /// again: a pipe, a socket, an upload in parts.
    fn append_only(&self) -> bool {
        false
    }
    /// Hears that a range will never be written; it reads as zeroes already. A sink that puts
    /// neighbours together need not wait for it, and may write the zeroes.
    fn leave_out(&self, range: ByteRange) -> io::Result<()> {
        let _ = range;
        Ok(())
    }
    /// Makes a range read as zeroes. A sink that has an operation for that uses it; the default
    /// writes them.
    fn write_zeroes(&self, offset: u64, length: u64) -> io::Result<()> {
        write_zeroes_plainly(self, offset, length)
    }
    /// Makes the sink share a range of a source from `to` on, without moving bytes. All numbers are
    /// multiples of the file system's block size. [`io::ErrorKind::Unsupported`] and other errors
    /// say that it has to be copied.
    fn clone_range(&self, source: &dyn BlockSource, range: ByteRange, to: u64) -> io::Result<()> {
        let _ = (source, range, to);
        Err(io::ErrorKind::Unsupported.into())
    }
    /// The bytes that were written, from where they are now; `None` for a sink that cannot be read.
    fn read_back(&self) -> io::Result<Option<Arc<dyn BlockSource>>> {
        Ok(None)
    }
    /// The open file that the bytes go to, offset for offset, where there is one: another process
    /// may write it instead.
    fn descriptors(&self) -> Option<Descriptors<'_>> {
        None
    }
}

/// An open file that is written.
#[derive(Clone, Copy, Debug)]
pub struct Descriptors<'a> {
    /// The file.
    pub file: BorrowedFd<'a>,
    /// The same one, past the page cache.
    pub direct: Option<BorrowedFd<'a>>,
}

/// Bytes of one write of zeroes.
const ZEROES_LENGTH: usize = 65536;
static ZEROES: [u8; ZEROES_LENGTH] = [0; ZEROES_LENGTH];

/// Writes zeroes as any other bytes.
pub fn write_zeroes_plainly<S: BlockSink + ?Sized>(sink: &S, offset: u64, length: u64) -> io::Result<()> {
    let mut at = offset;
    let end = offset.checked_add(length).ok_or(io::ErrorKind::InvalidInput)?;
    while at < end {
        let count = usize::try_from(end - at).map_or(ZEROES_LENGTH, |rest| rest.min(ZEROES_LENGTH));
        sink.write_all_at(&ZEROES[..count], at)?;
        at += u64::try_from(count).expect("usize has 64 bits");
    }
    Ok(())
}
