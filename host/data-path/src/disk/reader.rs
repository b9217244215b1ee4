//! Reads a disk: gathers the stored bytes of a window with few large reads, and decodes straight
//! into the window.

use imprint_ports::ByteRange;

use crate::{
    codec::{DecodeError, Decoder},
    disk::Disk,
    error::EngineError,
    map::extent_map::{Content, EncodedUnit},
    util::{
        num::{from_u32, to_u64, to_usize},
        zero::ZeroMap,
    },
};

/// The largest distance in bytes between the stored bytes of encoded units that are fetched in one
/// read. Images that were written out of order have units of other windows between those of one:
/// the bytes of a gap are copied for nothing.
const MAX_GAP: u64 = 16 << 10;
/// The longest such read, in bytes.
const MAX_GATHER: u64 = 4 << 20;

/// A reader of a [`Disk`], with buffers and decoders of its own. Memory: at most 4 MiB for stored
/// bytes (8 MiB and 4 KiB when a single unit needs that), one decoded unit, and the decoders.
pub struct DiskReader<'a> {
    disk: &'a Disk,
    decoder: Decoder,
    stored: Vec<u8>,
    /// The last unit that was needed in part, decoded: random reads return to it.
    unit: Vec<u8>,
    unit_key: Option<(u16, u64)>,
    wanted: Vec<Wanted>,
    bytes_read: u64,
}

/// An encoded unit, or a part of it, that a window needs.
#[derive(Clone, Copy)]
struct Wanted {
    encoded: EncodedUnit,
    /// The range of the window that its bytes fill.
    start: usize,
    end: usize,
    /// The virtual offset, for errors.
    offset: u64,
}

impl<'a> DiskReader<'a> {
    pub(crate) fn new(disk: &'a Disk) -> Self {
        Self {
            disk,
            decoder: Decoder::new(),
            stored: Vec::new(),
            unit: Vec::new(),
            unit_key: None,
            wanted: Vec::new(),
            bytes_read: 0,
        }
    }

    /// Fills `buf` from `offset`; all of it must be inside the disk. Blocks.
    ///
    /// # Errors
    ///
    /// [`EngineError::InvalidOption`] for a range that is not inside the disk,
    /// [`EngineError::Decode`], and whatever reading the sources reports.
    pub fn read_at(&mut self, buf: &mut [u8], offset: u64) -> Result<(), EngineError> {
        let end = offset.checked_add(to_u64(buf.len()));
        if end.is_none_or(|end| end > self.disk.size()) {
            return Err(EngineError::InvalidOption {
                what: format!("cannot read behind the end of a disk of {} bytes", self.disk.size()),
            });
        }
        self.fill(buf, offset, None)
    }

    /// Returns the number of bytes that were read from the sources so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Fills a window and records in `zeroes` what the map knows to be zero.
    pub(crate) fn fill(
        &mut self,
        buf: &mut [u8],
        offset: u64,
        mut zeroes: Option<&mut ZeroMap>,
    ) -> Result<(), EngineError> {
        self.wanted.clear();
        let disk = self.disk;
        for piece in disk.map().pieces(ByteRange { offset, length: to_u64(buf.len()) }) {
            let piece = piece?;
            let start = to_usize(piece.range.offset - offset);
            let end = start + to_usize(piece.range.length);
            match piece.content {
                Content::Zero | Content::Hole => {
                    buf[start..end].fill(0);
                    if let Some(zeroes) = zeroes.as_deref_mut() {
                        zeroes.known(start, end);
                    }
                }
                Content::Data { source, at } => self.read(source, &mut buf[start..end], at)?,
                Content::Encoded(encoded) => {
                    self.wanted.push(Wanted { encoded, start, end, offset: piece.range.offset });
                }
            }
        }
        self.decode_wanted(buf)
    }

    fn read(&mut self, source: u16, buf: &mut [u8], at: u64) -> Result<(), EngineError> {
        let length = to_u64(buf.len());
        self.disk
            .source(source)
            .read_exact_at(buf, at)
            .map_err(|error| EngineError::read(at, length, error))?;
        self.bytes_read += length;
        Ok(())
    }

    /// Decodes the wanted units in the order in which they are stored, so that neighbours come with
    /// one read.
    fn decode_wanted(&mut self, buf: &mut [u8]) -> Result<(), EngineError> {
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.sort_unstable_by_key(|unit| (unit.encoded.source, unit.encoded.at));
        let mut rest = wanted.as_slice();
        while let Some(first) = rest.first() {
            let source = first.encoded.source;
            let start = first.encoded.at;
            let mut end = start + u64::from(first.encoded.stored);
            let mut count = 1;
            for next in &rest[1..] {
                let next_end = next.encoded.at + u64::from(next.encoded.stored);
                let near = next.encoded.source == source
                    && next.encoded.at <= end + MAX_GAP
                    && next_end - start <= MAX_GATHER;
                if !near {
                    break;
                }
                end = end.max(next_end);
                count += 1;
            }
            // The last unit of a file may claim a sector that the file does not have.
            let end = end.min(self.disk.source(source).size());
            let length = to_usize(end - start);
            let mut stored = std::mem::take(&mut self.stored);
            if stored.len() < length {
                stored.resize(length, 0);
            }
            let (group, others) = rest.split_at(count);
            let decoded = self.read(source, &mut stored[..length], start).and_then(|()| {
                group.iter().try_for_each(|unit| self.decode(unit, &stored[..length], start, buf))
            });
            self.stored = stored;
            decoded?;
            rest = others;
        }
        self.wanted = wanted;
        Ok(())
    }

    fn decode(
        &mut self,
        wanted: &Wanted,
        stored: &[u8],
        stored_at: u64,
        buf: &mut [u8],
    ) -> Result<(), EngineError> {
        let Wanted { encoded, start, end, offset } = *wanted;
        let failed = |source| EngineError::Decode { offset, source };
        let from = to_usize(encoded.at - stored_at);
        let input = &stored[from..(from + from_u32(encoded.stored)).min(stored.len())];
        let kind = self.disk.codec(encoded.codec).kind;
        let unit = from_u32(encoded.unit);
        let skip = from_u32(encoded.skip);
        if skip == 0 && end - start == unit {
            let length = self.decoder.decode(kind, input, &mut buf[start..end]).map_err(failed)?;
            return if length == unit { Ok(()) } else { Err(failed(DecodeError::TooShort)) };
        }
        let key = (encoded.source, encoded.at);
        if self.unit_key != Some(key) {
            self.unit_key = None;
            self.unit.resize(unit, 0);
            let length = self.decoder.decode(kind, input, &mut self.unit).map_err(failed)?;
            // The unit at the disk's end may have been encoded without the bytes behind the end.
            let cut = offset + to_u64(end - start) == self.disk.size() && length == skip + (end - start);
            if length != unit && !cut {
                return Err(failed(DecodeError::TooShort));
            }
            self.unit_key = Some(key);
        }
        buf[start..end].copy_from_slice(&self.unit[skip..skip + (end - start)]);
        Ok(())
    }
}

impl Disk {
    /// Returns a reader with its own buffers and decoders: create one for each thread.
    pub fn reader(&self) -> DiskReader<'_> {
        DiskReader::new(self)
    }

    /// Fills `buf` from `offset`, which must be inside the disk. Blocks. For more than one read use
    /// [`Disk::reader`].
    ///
    /// # Errors
    ///
    /// As [`DiskReader::read_at`].
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), EngineError> {
        self.reader().read_at(buf, offset)
    }
}
