//! Unpacking: a file inside of a compressed one, written to a file of its own.
//!
//! The decoders are written in Rust, so that they need no process of their own (ADR 6 is about
//! those that are not). What they write is bounded, and so is their memory; a few kilobytes that
//! unpack to terabytes end at the bound.

mod archive;
mod header;
#[cfg(test)]
mod tests;

use std::io::{self, BufReader, Read};

use imprint_ports::{BlockSink, BlockSource};
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};
use tokio_util::sync::CancellationToken;

use crate::util::zero::is_zero;

/// The bytes that are read and written at once.
const CHUNK: usize = 1 << 20;
/// The most memory of a decoder of xz, in KiB.
const XZ_MEMORY_KIB: u32 = 160 << 10;

/// What a file is packed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackedAs {
    /// gzip (RFC 1952), also several members one after the other.
    Gzip,
    /// xz, also several streams one after the other.
    Xz,
    /// Zstandard (RFC 8878), also several frames one after the other.
    Zstd,
    /// bzip2, also several streams one after the other.
    Bzip2,
}

impl PackedAs {
    /// Returns the packing that a format with that name recognises.
    pub fn of_format(name: &str) -> Option<Self> {
        match name {
            "gzip" => Some(Self::Gzip),
            "xz" => Some(Self::Xz),
            "zstd" => Some(Self::Zstd),
            "bzip2" => Some(Self::Bzip2),
            _ => None,
        }
    }
}

/// Why a file is not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// More comes out than may.
    #[error("it unpacks to more than {limit} bytes")]
    TooLarge {
        /// The most bytes that it may unpack to.
        limit: u64,
        /// How many bytes it unpacks to, where it says so itself.
        size: Option<u64>,
    },
    /// It is damaged, or cut off.
    #[error("it cannot be unpacked: {0}")]
    Damaged(io::Error),
    /// It holds an archive for a disk that is not as it has to be.
    #[error("the archive in it is not read: {0}; make it anew with the one member `disk.raw`")]
    Archive(String),
    /// What it is packed in cannot be read.
    #[error("it cannot be read: {0}")]
    Read(io::Error),
    /// What comes out cannot be written.
    #[error("what is in it cannot be written: {0}")]
    Write(io::Error),
    /// It was cancelled.
    #[error("the unpacking was cancelled")]
    Cancelled,
}

/// What was unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The size in bytes.
    pub size: u64,
    /// Whether it is the disk of an archive in the packed file, as Compute Engine has them.
    pub is_archive: bool,
}

/// Writes what is inside of a packed file to a sink, and returns how many bytes it is. Is it an
/// archive with the member `disk.raw` in gzip, the disk in that is written. Zeroes are left out.
/// Blocks; looks at `cancel` at least once for each MiB.
///
/// # Errors
///
/// Any [`UnpackError`]. The sink then has a part of the content.
pub fn unpack(
    source: &dyn BlockSource,
    packed: PackedAs,
    sink: &dyn BlockSink,
    limit: u64,
    cancel: &CancellationToken,
) -> Result<Unpacked, UnpackError> {
    let failed = std::cell::RefCell::new(None);
    let input = BufReader::with_capacity(CHUNK, SourceReader { source, at: 0, cancel, failed: &failed });
    let written = match packed {
        PackedAs::Gzip => gzip(flate2::bufread::MultiGzDecoder::new(input), sink, limit, cancel),
        PackedAs::Xz => {
            copy(lzma_rust2::XzReader::new_mem_limit(input, true, XZ_MEMORY_KIB), sink, limit, cancel)
        }
        PackedAs::Zstd => copy(ZstdFrames::new(input), sink, limit, cancel),
        PackedAs::Bzip2 => copy(bzip2::bufread::MultiBzDecoder::new(input), sink, limit, cancel),
    };
    if cancel.is_cancelled() {
        return Err(UnpackError::Cancelled);
    }
    // Decoders wrap the error of their input, or replace it by one of their own.
    match failed.into_inner() {
        Some(error) => Err(UnpackError::Read(error)),
        None => written,
    }
}

/// Writes what is in gzip: the disk of an archive, or everything.
fn gzip(
    mut decoder: impl Read,
    sink: &dyn BlockSink,
    limit: u64,
    cancel: &CancellationToken,
) -> Result<Unpacked, UnpackError> {
    let mut head = vec![0; archive::WINDOW];
    let count = fill(&mut decoder, &mut head).map_err(UnpackError::Damaged)?;
    head.truncate(count);
    let mut content = head.as_slice().chain(decoder);
    if !archive::is_archive(&head) {
        return copy(content, sink, limit, cancel);
    }
    let size = archive::unpack(&mut content, sink, limit, cancel)?;
    Ok(Unpacked { size, is_archive: true })
}

/// Writes a piece of the content, unless it is zeroes that are there anyway.
fn keep(sink: &dyn BlockSink, piece: &[u8], at: u64) -> Result<(), UnpackError> {
    if is_zero(piece) && sink.fresh() {
        return Ok(());
    }
    sink.write_all_at(piece, at).map_err(UnpackError::Write)
}

/// Copies all that a decoder returns.
fn copy(
    mut decoder: impl Read,
    sink: &dyn BlockSink,
    limit: u64,
    cancel: &CancellationToken,
) -> Result<Unpacked, UnpackError> {
    let mut buffer = vec![0; CHUNK];
    let mut at = 0_u64;
    loop {
        // Little input may make much output: the reader of the input does not notice in time.
        if cancel.is_cancelled() {
            return Err(UnpackError::Cancelled);
        }
        let count = fill(&mut decoder, &mut buffer).map_err(UnpackError::Damaged)?;
        if count == 0 {
            sink.set_size(at).map_err(UnpackError::Write)?;
            return Ok(Unpacked { size: at, is_archive: false });
        }
        let piece = buffer.get(..count).unwrap_or_default();
        let end = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if end > limit {
            return Err(UnpackError::TooLarge { limit, size: None });
        }
        keep(sink, piece, at)?;
        at = end;
    }
}

/// Reads until the buffer is full, or the end.
fn fill(decoder: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match decoder.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads a source from its beginning to its end.
struct SourceReader<'a> {
    source: &'a dyn BlockSource,
    at: u64,
    cancel: &'a CancellationToken,
    failed: &'a std::cell::RefCell<Option<io::Error>>,
}

impl Read for SourceReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let left = usize::try_from(self.source.size() - self.at).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        let part = buffer.get_mut(..count).unwrap_or_default();
        if let Err(error) = self.source.read_exact_at(part, self.at) {
            let answer = io::Error::new(error.kind(), "the packed file cannot be read");
            *self.failed.borrow_mut() = Some(error);
            return Err(answer);
        }
        self.at += u64::try_from(count).map_err(io::Error::other)?;
        Ok(count)
    }
}

/// The contents of all frames of Zstandard, one after the other.
struct ZstdFrames<R> {
    input: R,
    decoder: FrameDecoder,
    is_open: bool,
}

impl<R: io::BufRead> ZstdFrames<R> {
    fn new(input: R) -> Self {
        Self { input, decoder: FrameDecoder::new(), is_open: false }
    }

    /// Opens the next frame; `false` behind the last one.
    fn open_next(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.input) {
                Ok(()) => {
                    self.is_open = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.input.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(damaged(&error)),
            }
        }
        Ok(false)
    }

    /// Ends a frame whose content was returned, if it has the checksum that it carries.
    fn close(&mut self) -> io::Result<()> {
        self.is_open = false;
        let carried = self.decoder.get_checksum_from_data();
        if carried.is_some() && carried != self.decoder.get_calculated_checksum() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame does not have its checksum"));
        }
        Ok(())
    }
}

impl<R: io::BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_open && !self.open_next()? {
                return Ok(0);
            }
            if self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let strategy = BlockDecodingStrategy::UptoBytes(buffer.len());
                self.decoder.decode_blocks(&mut self.input, strategy).map_err(|error| damaged(&error))?;
            }
            let count = self.decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            if self.decoder.is_finished() {
                self.close()?;
            }
        }
    }
}

fn damaged(error: &FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
