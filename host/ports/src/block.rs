//! Random-access bytes: where they are read from and written to.
//!
//! All calls block: the threads of the data path make them, never an async task.

use std::{io, os::fd::BorrowedFd, sync::Arc};

use crate::ByteRange;

/// A piece of a source as its transport describes it, without reading the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The bytes of the source that the segment covers.
    pub range: ByteRange,
    /// Whether the bytes are known to be zeroes without reading them.
    pub zero: bool,
}

/// Random-access bytes that several threads can read at once.
pub trait BlockSource: Send + Sync {
    /// Returns the size in bytes, fixed when the source was opened.
    fn size(&self) -> u64;

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] where fewer bytes follow; otherwise what the transport
    /// reports.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Describes `range` in ascending order without gaps: what the transport knows to be zero
    /// (holes of a file, NBD block status). The default knows nothing.
    ///
    /// # Errors
    ///
    /// Whatever the transport reports when it is asked.
    fn segments(&self, range: ByteRange) -> io::Result<Vec<Segment>> {
        Ok(vec![Segment { range, zero: false }])
    }

    /// Returns the number of bytes that is best read at once; 0 where it does not matter. A
    /// transport that keeps several requests in flight prefers reads longer than one request.
    fn preferred_read(&self) -> u64 {
        0
    }

    /// Returns the open file that has these bytes at the same offsets, if there is one: another
    /// process may read it instead.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Returns whether the source is the same as when it was opened, as far as the transport can
    /// see.
    ///
    /// # Errors
    ///
    /// Whatever the transport reports when it is asked.
    fn unchanged(&self) -> io::Result<bool> {
        Ok(true)
    }
}

/// Bytes that several threads can write at once, to disjoint ranges.
pub trait BlockSink: Send + Sync {
    /// Takes all of `buf` for `offset` and grows the sink as needed or further: [`Self::set_size`]
    /// sets the final size. Readers of the sink find the bytes once [`Self::set_size`] or
    /// [`Self::sync`] has returned afterwards.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::StorageFull`] and the like where there is no room; otherwise what the
    /// transport reports.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the sink exactly `size` bytes long, with all that was written to it. What was never
    /// written reads as zeroes where the sink is [fresh](Self::fresh).
    ///
    /// # Errors
    ///
    /// An error where the sink cannot have that size; otherwise what the transport reports.
    fn set_size(&self, size: u64) -> io::Result<()>;

    /// Returns the number of bytes that is best written at once; 0 where it does not matter.
    fn preferred_write(&self) -> u64 {
        0
    }

    /// Makes everything that was written durable.
    ///
    /// # Errors
    ///
    /// Whatever the transport reports; nothing is known to be durable then.
    fn sync(&self) -> io::Result<()>;

    /// Returns whether bytes that were never written read as zeroes. A device that held something
    /// before is not fresh: every byte of the file is written there.
    fn fresh(&self) -> bool {
        true
    }

    /// Returns whether the sink takes every byte in order, from the first to the last, and never an
    /// earlier one afterwards: a pipe, a socket, an upload in parts.
    fn append_only(&self) -> bool {
        false
    }

    /// Announces that a range will never be written and so reads as zeroes. A sink that gathers
    /// neighbouring writes need not wait for the range, and may write the zeroes.
    ///
    /// # Errors
    ///
    /// Whatever writing the gathered neighbours reports.
    fn leave_out(&self, range: ByteRange) -> io::Result<()> {
        let _ = range;
        Ok(())
    }

    /// Returns the ranges that an earlier writer of the same bytes has left here whole, in
    /// ascending order and without overlaps. A writer that knows that its bytes are the same may
    /// [keep](Self::keep) them.
    fn kept(&self) -> Vec<ByteRange> {
        Vec::new()
    }

    /// Leaves one of the ranges of [`Self::kept`] as it is, instead of writing it.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] where the range is none of them.
    fn keep(&self, range: ByteRange) -> io::Result<()> {
        let _ = range;
        Err(io::ErrorKind::InvalidInput.into())
    }

    /// Makes a range read as zeroes, by an operation of the sink where it has one. The default
    /// writes zeroes.
    ///
    /// # Errors
    ///
    /// As [`Self::write_all_at`].
    fn write_zeroes(&self, offset: u64, length: u64) -> io::Result<()> {
        write_zeroes_as_data(self, offset, length)
    }

    /// Makes the sink share a range of a source from offset `to` on, without moving bytes. All
    /// three numbers are multiples of the file system's block size.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] (the default) and other errors mean that the range has to be
    /// copied.
    fn clone_range(&self, source: &dyn BlockSource, range: ByteRange, to: u64) -> io::Result<()> {
        let _ = (source, range, to);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Returns the written bytes as a source that reads them from where they are stored; `None` for
    /// a sink that cannot be read.
    ///
    /// # Errors
    ///
    /// Whatever opening the stored bytes reports.
    fn read_back(&self) -> io::Result<Option<Arc<dyn BlockSource>>> {
        Ok(None)
    }

    /// Returns the open file that takes the bytes at the same offsets, if there is one: another
    /// process may write it instead.
    fn descriptors(&self) -> Option<Descriptors<'_>> {
        None
    }
}

/// The descriptors of a file that a sink writes.
#[derive(Clone, Copy, Debug)]
pub struct Descriptors<'a> {
    /// The file, written through the page cache.
    pub file: BorrowedFd<'a>,
    /// The same file, written past the page cache (`O_DIRECT`), where that is possible.
    pub direct: Option<BorrowedFd<'a>>,
}

/// Bytes of one write of zeroes.
const ZEROES_LENGTH: usize = 65536;
static ZEROES: [u8; ZEROES_LENGTH] = [0; ZEROES_LENGTH];

/// Writes `length` zeroes at `offset` like any other bytes.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] for a range that no file has; otherwise as
/// [`BlockSink::write_all_at`].
pub fn write_zeroes_as_data<S: BlockSink + ?Sized>(sink: &S, offset: u64, length: u64) -> io::Result<()> {
    let mut at = offset;
    let end = offset.checked_add(length).ok_or(io::ErrorKind::InvalidInput)?;
    while at < end {
        let count = usize::try_from(end - at).map_or(ZEROES_LENGTH, |rest| rest.min(ZEROES_LENGTH));
        sink.write_all_at(&ZEROES[..count], at)?;
        at += u64::try_from(count).expect("usize has 64 bits");
    }
    Ok(())
}
