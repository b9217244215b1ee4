//! Where bytes come from and go to. Blocking calls: the engine's own threads make them, never an
//! async task.

use std::{
    io::{self, Write},
    os::fd::BorrowedFd,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    num::{to_u64, to_usize},
    ports::ByteRange,
};

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

static ZEROES: [u8; 65536] = [0; 65536];

/// Writes zeroes as any other bytes.
pub(crate) fn write_zeroes_plainly<S: BlockSink + ?Sized>(
    sink: &S,
    offset: u64,
    length: u64,
) -> io::Result<()> {
    let mut at = offset;
    let end = offset.checked_add(length).ok_or(io::ErrorKind::InvalidInput)?;
    while at < end {
        let length = (end - at).min(to_u64(ZEROES.len()));
        sink.write_all_at(&ZEROES[..to_usize(length)], at)?;
        at += length;
    }
    Ok(())
}

/// A stream as a sink: whatever can only be appended to. Durability is the business of whoever is
/// behind the stream: syncing flushes it.
///
/// A stream that blocks for long is closed by its owner to cancel the job.
pub struct AppendSink<W> {
    state: Mutex<(W, u64)>,
}

impl<W: Write + Send> AppendSink<W> {
    /// Appends to `stream`, whose present end is offset 0.
    pub fn new(stream: W) -> Self {
        Self { state: Mutex::new((stream, 0)) }
    }

    /// The stream, and how many bytes went into it.
    pub fn into_inner(self) -> (W, u64) {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Write + Send> BlockSink for AppendSink<W> {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.1 != offset {
            let text = format!("a stream at byte {} cannot take byte {offset}", state.1);
            return Err(io::Error::new(io::ErrorKind::NotSeekable, text));
        }
        state.0.write_all(buf)?;
        state.1 += to_u64(buf.len());
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let at = self.state.lock().unwrap_or_else(PoisonError::into_inner).1;
        match at == size {
            true => Ok(()),
            false => Err(io::ErrorKind::NotSeekable.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0.flush()
    }

    fn append_only(&self) -> bool {
        true
    }
}
