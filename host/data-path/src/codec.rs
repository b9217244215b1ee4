//! Decoding and encoding of units, with contexts that a thread reuses for as long as it runs.

mod deflate;

use imprint_ports::Codec;
use libdeflater::{DecompressionError, Decompressor};
use serde::{Deserialize, Serialize};
use zlib_rs::{Inflate, InflateFlush, Status};
use zstd_safe::{CCtx, CParameter, DCtx};

use deflate::{DeflateEncoder, Wrapper};

/// An encoding that the data path decodes and encodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CodecKind {
    /// Deflate, RFC 1951.
    Deflate,
    /// Zlib, RFC 1950.
    Zlib,
    /// Gzip, RFC 1952, one member.
    Gzip,
    /// Zstandard, RFC 8878, one frame.
    Zstd,
}

/// What follows the encoded bytes inside their source range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tail {
    /// Nothing: the length is exact.
    Exact,
    /// Other bytes: the length is an upper bound, and the last 512-byte sector may be shared with
    /// the next unit.
    Garbage,
}

/// A codec of an image, parsed from its plugin's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodecSpec {
    /// The encoding.
    pub kind: CodecKind,
    /// What follows the encoded bytes.
    pub tail: Tail,
    /// The number of bytes in front of the encoded ones that belong to the unit as well.
    pub head: u32,
}

/// Longest head of a unit.
const MAX_HEAD: u32 = 4096;

impl CodecSpec {
    /// Parses a plugin's description; `None` for a codec that the data path does not know.
    pub fn parse(codec: &Codec) -> Option<Self> {
        let kind = match codec.name.as_str() {
            "deflate" => CodecKind::Deflate,
            "zlib" => CodecKind::Zlib,
            "gzip" => CodecKind::Gzip,
            "zstd" => CodecKind::Zstd,
            _ => return None,
        };
        let tail = match codec.params.get("tail").map(String::as_str) {
            None | Some("exact") => Tail::Exact,
            Some("garbage") => Tail::Garbage,
            Some(_) => return None,
        };
        let head = codec.params.get("head").map_or(Some(0), |head| head.parse().ok())?;
        (head <= MAX_HEAD).then_some(Self { kind, tail, head })
    }
}

/// Why stored bytes cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not a stream of this encoding, or are cut off.
    #[error("not a valid compressed stream")]
    Invalid,
    /// The bytes decode to more than the unit holds.
    #[error("the compressed stream is longer than its unit")]
    TooLong,
    /// The bytes decode to less than the unit holds.
    #[error("the compressed stream is shorter than its unit")]
    TooShort,
    /// The frame asks for more memory than any unit needs.
    #[error("the compressed frame asks for too large a window")]
    Window,
}

/// Largest window that a zstd frame may ask for: the largest cluster of any format that is read.
const MAX_WINDOW: u64 = 1 << 21;
const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// Decoders of one thread.
pub(crate) struct Decoder {
    deflate: Decompressor,
    zstd: DCtx<'static>,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { deflate: Decompressor::new(), zstd: DCtx::create() }
    }

    /// Decodes one unit to the start of `out` and returns its length. A stream that is longer than
    /// `out` is an error.
    pub(crate) fn decode(
        &mut self,
        kind: CodecKind,
        input: &[u8],
        out: &mut [u8],
    ) -> Result<usize, DecodeError> {
        let fast = match kind {
            CodecKind::Deflate => self.deflate.deflate_decompress(input, out),
            CodecKind::Zlib => self.deflate.zlib_decompress(input, out),
            CodecKind::Gzip => self.deflate.gzip_decompress(input, out),
            CodecKind::Zstd => return self.zstd(input, out),
        };
        match fast {
            Ok(length) => Ok(length),
            Err(DecompressionError::InsufficientSpace) => Err(DecodeError::TooLong),
            // A gzip member without its trailer is cut off.
            Err(DecompressionError::BadData) if kind == CodecKind::Gzip => Err(DecodeError::Invalid),
            Err(DecompressionError::BadData) => inflate_slowly(kind == CodecKind::Zlib, input, out),
        }
    }

    /// Finds the frame's end first, because other bytes may follow it; then one call decodes
    /// straight into `out`, which is also the window, so that no frame can ask for memory.
    fn zstd(&mut self, input: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
        if input.get(..4) != Some(&ZSTD_MAGIC) {
            return Err(DecodeError::Invalid);
        }
        if zstd_window(input).ok_or(DecodeError::Invalid)? > MAX_WINDOW {
            return Err(DecodeError::Window);
        }
        let length = zstd_safe::find_frame_compressed_size(input).map_err(|_| DecodeError::Invalid)?;
        let frame = input.get(..length).ok_or(DecodeError::Invalid)?;
        self.zstd.decompress(out, frame).map_err(|code| {
            if zstd_safe::get_error_name(code).contains("too small") {
                DecodeError::TooLong
            } else {
                DecodeError::Invalid
            }
        })
    }
}

/// Returns the window size that a zstd frame header declares (RFC 8878, 3.1.1.1.2). A
/// single-segment frame has none of its own: its window is its content, which `out` bounds.
fn zstd_window(frame: &[u8]) -> Option<u64> {
    let descriptor = frame.get(4)?;
    if descriptor & 0x20 != 0 {
        return Some(0);
    }
    let window = frame.get(5)?;
    let base = 1u64 << (10 + (window >> 3));
    Some(base + base / 8 * u64::from(window & 7))
}

/// Decodes streams without a final block, which QEMU writes and accepts: whatever fills the unit is
/// accepted.
fn inflate_slowly(zlib_header: bool, input: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
    let mut inflate = Inflate::new(zlib_header, 15);
    let status = inflate.decompress(input, out, InflateFlush::Finish);
    let length = crate::util::num::to_usize(inflate.total_out());
    match status {
        Ok(Status::StreamEnd) => Ok(length),
        Ok(Status::Ok | Status::BufError) if length == out.len() => Ok(length),
        Ok(Status::Ok | Status::BufError) | Err(_) => Err(DecodeError::Invalid),
    }
}

/// Returns the size of the hash table, as a power of two, where zstd's own choice (for anything up
/// to 128 KiB) is not the best for units. Measured over the disk of the bench, cut into units of 64
/// KiB:
///
/// - Level 1: 2^13 are two hundredths faster than these, and their output is 2.5 % larger than that
///   of level 3. With these it is 1.9 %.
/// - Level 3, the default: 2^16, one for each byte of the unit, are 2 % slower than these, and
///   their output is 0.02 % smaller.
fn zstd_hash_log(level: i32, unit: u32) -> Option<u32> {
    match (level, unit) {
        (1, _) | (3, UNIT_OF_64_KIB) => Some(15),
        _ => None,
    }
}

/// The unit of most formats.
const UNIT_OF_64_KIB: u32 = 64 << 10;

/// Encoder of one thread.
pub(crate) enum Encoder {
    Deflate(Box<dyn DeflateEncoder>),
    Zstd(CCtx<'static>),
}

impl Encoder {
    /// Returns an encoder for units of `unit` bytes. `level` is in the encoder's own scale: 0 to 12
    /// for deflate, zlib and gzip (default 1; 0 is the fastest of the platform), -7 to 19 for zstd
    /// (default 3). `None` when the level is out of range.
    pub(crate) fn new(kind: CodecKind, level: Option<i32>, unit: u32) -> Option<Self> {
        match kind {
            CodecKind::Deflate => deflate::encoder(Wrapper::None, level).map(Self::Deflate),
            CodecKind::Zlib => deflate::encoder(Wrapper::Zlib, level).map(Self::Deflate),
            CodecKind::Gzip => deflate::encoder(Wrapper::Gzip, level).map(Self::Deflate),
            CodecKind::Zstd => {
                let level = level.unwrap_or(3);
                if !(-7..=19).contains(&level) {
                    return None;
                }
                let mut context = CCtx::create();
                context.set_parameter(CParameter::CompressionLevel(level)).ok()?;
                if let Some(log) = zstd_hash_log(level, unit) {
                    context.set_parameter(CParameter::HashLog(log)).ok()?;
                }
                Some(Self::Zstd(context))
            }
        }
    }

    /// Encodes a unit into `out` and returns the encoded length; `None` when it does not fit.
    pub(crate) fn encode(&mut self, unit: &[u8], out: &mut [u8]) -> Option<usize> {
        match self {
            Self::Deflate(encoder) => encoder.encode(unit, out),
            Self::Zstd(context) => context.compress2(out, unit).ok(),
        }
    }
}

#[cfg(test)]
mod tests;
