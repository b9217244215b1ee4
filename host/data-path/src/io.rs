//! Where bytes come from and go to. Blocking calls: the engine's own threads make them, never an async task.

use std::io;

use crate::ports::ByteRange;

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
    /// Describes `[range]` in ascending order without gaps: what the transport knows to be zero (holes of a file, NBD
    /// block status). The default knows nothing.
    fn segments(&self, range: ByteRange) -> io::Result<Vec<Segment>> {
        Ok(vec![Segment { range, zero: false }])
    }
    /// Bytes that are best read at once, where the transport has an opinion: one that keeps several requests in flight wants
    /// reads that are longer than one request.
    fn preferred_read(&self) -> u64 {
        0
    }
    /// Whether the source is still what it was when it was opened, as far as the transport can tell.
    fn unchanged(&self) -> io::Result<bool> {
        Ok(true)
    }
}

/// Random-access bytes that can be written from several threads at once, to disjoint ranges.
pub trait BlockSink: Send + Sync {
    /// Writes all of `buf` at `offset`, growing the sink as needed.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the sink exactly this long; what was never written reads as zeroes.
    fn set_size(&self, size: u64) -> io::Result<()>;
    /// Bytes that are best written at once, where the sink has an opinion.
    fn preferred_write(&self) -> u64 {
        0
    }
    /// Everything written is durable when this returns.
    fn sync(&self) -> io::Result<()>;
}
