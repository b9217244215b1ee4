//! The archive that Google Compute Engine exports and imports: a tar file with one member,
//! `disk.raw`, in gzip.
//!
//! The member is plain, or sparse as GNU's old format has it: the header, and blocks behind it,
//! list the pieces of the disk that are there. They are written where they belong, and what is
//! between them is not written at all. Nothing else is read: an archive that two programs would
//! unpack differently is refused.
//!
//! Sources: POSIX.1-2017 `pax` (the ustar header and extended records); GNU tar manual, "Old GNU
//! Format" and `struct oldgnu_header`.

use std::io::{self, Read};

use imprint_ports::BlockSink;
use tokio_util::sync::CancellationToken;

use super::{
    CHUNK, UnpackError, fill,
    header::{BLOCK, Header, Kind, MEMBER, Named, number},
    keep,
};

/// The bytes in which the first member has to begin, so that an archive is recognised.
pub(super) const WINDOW: usize = 64 << 10;
/// The most pieces of a disk.
const MAX_PIECES: usize = 1 << 20;
/// The most bytes of extended records, and of zeroes behind the member.
const MAX_RECORDS: u64 = 64 << 10;
const MAX_END: u64 = 16 << 20;
/// Where a header has its pieces, the mark that more follow, and the size of the disk.
const PIECES: usize = 386;
const IS_EXTENDED: usize = 482;
const REAL_SIZE: std::ops::Range<usize> = 483..495;
/// The pieces in a header, those in a block behind it, and the mark there.
const FIRST: usize = 4;
const MORE: usize = 21;
const IS_CONTINUED: usize = 504;
/// The bytes of a number, and of a piece: its offset and its length.
const NUMBER: usize = 12;
const PIECE: usize = 2 * NUMBER;

/// Returns whether what begins with these bytes is an archive with a disk as its first member.
pub(super) fn is_archive(head: &[u8]) -> bool {
    let mut rest = head;
    while let Some(Ok(Some(header))) = rest.first_chunk().map(Header::parse) {
        match header.kind {
            Kind::Records | Kind::LongName => {
                let length = header.size.next_multiple_of(512).saturating_add(512);
                rest = usize::try_from(length).ok().and_then(|at| rest.get(at..)).unwrap_or_default();
            }
            Kind::File | Kind::Sparse | Kind::Other(_) => {
                return header.name.rsplit(|byte| *byte == b'/').next() == Some(MEMBER);
            }
        }
    }
    false
}

/// Writes the disk of an archive to a sink, and returns its size in bytes.
pub(super) fn unpack(
    input: &mut impl Read,
    sink: &dyn BlockSink,
    limit: u64,
    cancel: &CancellationToken,
) -> Result<u64, UnpackError> {
    let (size, pieces) = member(input, limit)?;
    let mut copied = Copied { sink, buffer: vec![0; CHUNK], cancel };
    let mut at = 0;
    for (offset, length) in pieces.iter().copied() {
        copied.hole(at, offset)?;
        copied.piece(input, offset, length)?;
        at = offset + length;
        skip_padding(input, length)?;
    }
    copied.hole(at, size)?;
    end(input, cancel)?;
    sink.set_size(size).map_err(UnpackError::Write)?;
    Ok(size)
}

fn refused(why: impl Into<String>) -> UnpackError {
    UnpackError::Archive(why.into())
}

/// Fills a buffer from the input.
fn read(input: &mut impl Read, buffer: &mut [u8]) -> Result<(), UnpackError> {
    let wanted = buffer.len();
    let count = fill(input, buffer).map_err(UnpackError::Damaged)?;
    if count < wanted { Err(refused("it is cut off")) } else { Ok(()) }
}

fn block(input: &mut impl Read) -> Result<[u8; BLOCK], UnpackError> {
    let mut block = [0; BLOCK];
    read(input, &mut block)?;
    Ok(block)
}

/// Reads up to the data of the disk: returns the size of the disk, and its pieces (offset, length).
fn member(input: &mut impl Read, limit: u64) -> Result<(u64, Vec<(u64, u64)>), UnpackError> {
    let mut named = Named::default();
    loop {
        let bytes = block(input)?;
        let header = Header::parse(&bytes).map_err(refused)?.ok_or_else(|| refused("it has no member"))?;
        match header.kind {
            Kind::Records => {
                let records = described(input, header.size)?;
                named.read_records(&records).map_err(refused)?;
            }
            Kind::LongName => named.read_long_name(&described(input, header.size)?),
            Kind::Other(what) => return Err(refused(format!("it has {what}"))),
            Kind::File | Kind::Sparse => {
                named.require_disk(header.name).map_err(refused)?;
                let archived = named.size.unwrap_or(header.size);
                if header.kind == Kind::File {
                    return within(archived, limit).map(|size| (size, vec![(0, size)]));
                }
                let size = bytes.get(REAL_SIZE).and_then(number);
                let size = size.ok_or_else(|| refused("the size of the disk is impossible"))?;
                return pieces(input, &bytes, (archived, within(size, limit)?)).map(|pieces| (size, pieces));
            }
        }
    }
}

fn within(size: u64, limit: u64) -> Result<u64, UnpackError> {
    if size > limit { Err(UnpackError::TooLarge { limit, size: Some(size) }) } else { Ok(size) }
}

/// Reads what describes the next member.
fn described(input: &mut impl Read, size: u64) -> Result<Vec<u8>, UnpackError> {
    if size > MAX_RECORDS {
        return Err(refused("what describes its member is longer than 64 KiB"));
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    read(input, &mut bytes)?;
    skip_padding(input, size)?;
    Ok(bytes)
}

/// Reads up to the next block behind `length` bytes.
fn skip_padding(input: &mut impl Read, length: u64) -> Result<(), UnpackError> {
    let rest = usize::try_from(length.next_multiple_of(512) - length).unwrap_or_default();
    let mut padding = [0; BLOCK];
    read(input, padding.get_mut(..rest).unwrap_or_default())
}

/// Reads the pieces of a sparse member of `archived` bytes, whose disk has `size`.
fn pieces(
    input: &mut impl Read,
    header: &[u8; BLOCK],
    (archived, size): (u64, u64),
) -> Result<Vec<(u64, u64)>, UnpackError> {
    let mut list = Pieces { found: Vec::new(), is_over: false, end: 0, archived: 0, size };
    list.read(header.get(PIECES..PIECES + FIRST * PIECE).unwrap_or_default())?;
    let mut continues = header.get(IS_EXTENDED).is_some_and(|mark| *mark != 0);
    while continues {
        if list.is_over {
            return Err(refused("its list of pieces has more behind its end"));
        }
        let more = block(input)?;
        list.read(more.get(..MORE * PIECE).unwrap_or_default())?;
        continues = more.get(IS_CONTINUED).is_some_and(|mark| *mark != 0);
    }
    if list.archived != archived {
        return Err(refused("its pieces are not as long as the member"));
    }
    Ok(list.found)
}

/// A list of pieces that is read.
struct Pieces {
    found: Vec<(u64, u64)>,
    is_over: bool,
    /// Where the last piece ends.
    end: u64,
    /// The bytes of all pieces.
    archived: u64,
    /// The size of the disk.
    size: u64,
}

impl Pieces {
    fn read(&mut self, fields: &[u8]) -> Result<(), UnpackError> {
        for piece in fields.as_chunks::<PIECE>().0 {
            let (offset, length) = piece.split_at(NUMBER);
            match (offset.first(), length.first()) {
                (Some(0), Some(0)) => self.is_over = true,
                (_, _) if self.is_over => {
                    return Err(refused("its list of pieces has more behind its end"));
                }
                (_, _) => match (number(offset), number(length)) {
                    (Some(offset), Some(length)) => self.push(offset, length)?,
                    (None, _) | (_, None) => return Err(refused("a piece has an impossible number")),
                },
            }
        }
        Ok(())
    }

    fn push(&mut self, offset: u64, length: u64) -> Result<(), UnpackError> {
        if offset < self.end {
            return Err(refused("its pieces overlap, or are not in order"));
        }
        let end = offset.checked_add(length).filter(|end| *end <= self.size);
        self.end = end.ok_or_else(|| refused("a piece is outside of the disk"))?;
        if length == 0 {
            return Ok(());
        }
        // Programs disagree about where the next one begins otherwise.
        if !self.archived.is_multiple_of(512) {
            return Err(refused("a piece that is not the last one ends inside a block"));
        }
        if self.found.len() == MAX_PIECES {
            return Err(refused(format!("its disk has more than {MAX_PIECES} pieces")));
        }
        self.archived += length;
        self.found.push((offset, length));
        Ok(())
    }
}

/// Where the disk goes.
struct Copied<'a> {
    sink: &'a dyn BlockSink,
    buffer: Vec<u8>,
    cancel: &'a CancellationToken,
}

impl Copied<'_> {
    /// Copies a piece.
    fn piece(&mut self, input: &mut impl Read, offset: u64, length: u64) -> Result<(), UnpackError> {
        let mut done = 0;
        while done < length {
            if self.cancel.is_cancelled() {
                return Err(UnpackError::Cancelled);
            }
            let count = usize::try_from(length - done).unwrap_or(usize::MAX).min(CHUNK);
            let part = self.buffer.get_mut(..count).unwrap_or_default();
            read(input, part)?;
            keep(self.sink, part, offset + done)?;
            done += u64::try_from(count).unwrap_or(u64::MAX);
        }
        Ok(())
    }

    /// Leaves out what is between two pieces; where the sink may have other bytes, writes zeroes.
    fn hole(&mut self, start: u64, end: u64) -> Result<(), UnpackError> {
        if self.sink.fresh() {
            return Ok(());
        }
        self.piece(&mut io::repeat(0), start, end - start)
    }
}

/// Requires that nothing but zeroes follows, and reads them all: behind them, gzip has its
/// checksum.
fn end(input: &mut impl Read, cancel: &CancellationToken) -> Result<(), UnpackError> {
    let first = block(input)?;
    match Header::parse(&first) {
        Ok(None) => {}
        Ok(Some(_)) => return Err(refused("it has more than one member")),
        Err(_) => return Err(refused("something follows the disk in it")),
    }
    let mut left = MAX_END;
    let mut bytes = [0; BLOCK];
    loop {
        if cancel.is_cancelled() {
            return Err(UnpackError::Cancelled);
        }
        let count = fill(input, &mut bytes).map_err(UnpackError::Damaged)?;
        if count == 0 {
            return Ok(());
        }
        left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        if left == 0 || bytes.iter().take(count).any(|byte| *byte != 0) {
            return Err(refused("something follows the disk in it"));
        }
    }
}
