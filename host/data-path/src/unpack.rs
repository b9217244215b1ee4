//! Unpacking: a file inside of a compressed one, written to a file of its own.
//!
//! The decoders are written in Rust, so that they need no process of their own (ADR 6 is about
//! those that are not). What they write is bounded, and so is their memory; a few kilobytes that
//! unpack to terabytes end at the bound.

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
    },
    /// It is damaged, or cut off.
    #[error("it cannot be unpacked: {0}")]
    Damaged(io::Error),
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

/// Writes what is inside of a packed file to a sink, and returns how many bytes it is. Zeroes are
/// left out. Blocks; looks at `cancel` at least once for each MiB.
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
) -> Result<u64, UnpackError> {
    let failed = std::cell::RefCell::new(None);
    let input = BufReader::with_capacity(CHUNK, SourceReader { source, at: 0, cancel, failed: &failed });
    let written = match packed {
        PackedAs::Gzip => copy(flate2::bufread::MultiGzDecoder::new(input), sink, limit, cancel),
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

/// Copies all that a decoder returns.
fn copy(
    mut decoder: impl Read,
    sink: &dyn BlockSink,
    limit: u64,
    cancel: &CancellationToken,
) -> Result<u64, UnpackError> {
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
            return Ok(at);
        }
        let piece = buffer.get(..count).unwrap_or_default();
        let end = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if end > limit {
            return Err(UnpackError::TooLarge { limit });
        }
        if !is_zero(piece) || !sink.fresh() {
            sink.write_all_at(piece, at).map_err(UnpackError::Write)?;
        }
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

#[cfg(test)]
mod tests {
    use std::{io::Write as _, process::Command};

    use super::*;
    use crate::transport::file::{FileSink, MemorySource};

    const LIMIT: u64 = 64 << 20;

    /// Content with zeroes, repetitions and noise.
    fn content() -> Vec<u8> {
        let mut bytes = vec![0; 3 << 20];
        let mut state = 7_u32;
        for byte in &mut bytes[1 << 20..(1 << 20) + 300_000] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = state.to_le_bytes()[3];
        }
        bytes.extend_from_slice(&b"imprint ".repeat(5_000));
        bytes
    }

    fn pack(program: &str, bytes: &[u8]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("content");
        std::fs::write(&path, bytes).unwrap();
        let output =
            Command::new(program).arg("-c").arg(&path).output().expect("install gzip, xz-utils, zstd, bzip2");
        assert!(output.status.success(), "{program}");
        output.stdout
    }

    fn unpacked(packed: Vec<u8>, by: PackedAs, limit: u64) -> Result<Vec<u8>, UnpackError> {
        let dir = tempfile::tempdir().unwrap();
        let folder = cap_std::fs::Dir::open_ambient_dir(dir.path(), cap_std::ambient_authority()).unwrap();
        let sink = FileSink::create(&folder, "out").unwrap();
        let size = unpack(&MemorySource::new(packed), by, &sink, limit, &CancellationToken::new())?;
        let bytes = std::fs::read(dir.path().join("out")).unwrap();
        assert_eq!(u64::try_from(bytes.len()).unwrap(), size);
        Ok(bytes)
    }

    const ALL: [(&str, PackedAs); 4] = [
        ("gzip", PackedAs::Gzip),
        ("xz", PackedAs::Xz),
        ("zstd", PackedAs::Zstd),
        ("bzip2", PackedAs::Bzip2),
    ];

    #[test]
    fn what_the_usual_programs_pack_is_unpacked() {
        let content = content();
        for (program, by) in ALL {
            let packed = pack(program, &content);
            assert!(unpacked(packed.clone(), by, LIMIT).unwrap() == content, "{program}");
            // Two streams one after the other are one file.
            let twice = [packed.clone(), packed].concat();
            assert!(unpacked(twice, by, LIMIT).unwrap() == content.repeat(2), "{program}");
        }
    }

    #[test]
    fn a_file_that_is_cut_off_or_changed_is_refused() {
        let content = content();
        for (program, by) in ALL {
            let packed = pack(program, &content);
            let cut = packed[..packed.len() - packed.len() / 3].to_vec();
            assert!(matches!(unpacked(cut, by, LIMIT), Err(UnpackError::Damaged(_))), "{program}");
            let mut changed = packed;
            let middle = changed.len() / 2;
            changed[middle] ^= 0x10;
            assert!(unpacked(changed, by, LIMIT).is_err(), "{program}");
        }
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let bomb = vec![0; 256 << 20];
        for (program, by) in ALL {
            let packed = pack(program, &bomb);
            assert!(packed.len() < 1 << 20, "{program}: {}", packed.len());
            let refused = unpacked(packed, by, 10 << 20);
            assert!(matches!(refused, Err(UnpackError::TooLarge { limit: 10_485_760 })), "{program}");
        }
    }

    #[test]
    fn skippable_frames_are_skipped_and_must_be_whole() {
        let content = content();
        let mut packed = Vec::new();
        packed.write_all(&0x184D_2A50_u32.to_le_bytes()).unwrap();
        packed.write_all(&5_u32.to_le_bytes()).unwrap();
        packed.extend_from_slice(b"notes");
        packed.extend(pack("zstd", &content));
        assert!(unpacked(packed.clone(), PackedAs::Zstd, LIMIT).unwrap() == content);
        packed.extend_from_slice(&0x184D_2A50_u32.to_le_bytes());
        packed.extend_from_slice(&500_u32.to_le_bytes());
        assert!(unpacked(packed, PackedAs::Zstd, LIMIT).is_err());
    }

    #[test]
    fn a_cancelled_one_says_so() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let dir = tempfile::tempdir().unwrap();
        let folder = cap_std::fs::Dir::open_ambient_dir(dir.path(), cap_std::ambient_authority()).unwrap();
        let sink = FileSink::create(&folder, "out").unwrap();
        let source = MemorySource::new(pack("gzip", b"content"));
        let outcome = unpack(&source, PackedAs::Gzip, &sink, LIMIT, &cancel);
        assert!(matches!(outcome, Err(UnpackError::Cancelled)), "{outcome:?}");
    }

    /// Cancels at the first piece that is written.
    #[derive(Debug)]
    struct Cancelling {
        cancel: CancellationToken,
        pieces: std::sync::atomic::AtomicUsize,
    }

    impl BlockSink for Cancelling {
        fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
            self.cancel.cancel();
            self.pieces.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        }

        fn set_size(&self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn one_that_unpacks_to_much_is_cancelled_in_the_middle() {
        let bomb = vec![b'a'; 32 << 20];
        for (program, by) in ALL {
            let cancel = CancellationToken::new();
            let sink = Cancelling { cancel: cancel.clone(), pieces: 0.into() };
            let source = MemorySource::new(pack(program, &bomb));
            let outcome = unpack(&source, by, &sink, LIMIT, &cancel);
            assert!(matches!(outcome, Err(UnpackError::Cancelled)), "{program}: {outcome:?}");
            assert_eq!(sink.pieces.into_inner(), 1, "{program}");
        }
    }
}
