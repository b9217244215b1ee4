//! The body of a request: bytes in memory, or the start of a file.

use std::{borrow::Cow, fs::File, io, os::unix::fs::FileExt as _};

/// How much of a file is read at once, in bytes.
const PIECE: usize = 1 << 20;

/// The body of a request.
#[derive(Clone, Debug)]
pub(crate) enum Payload<'a> {
    Bytes(Cow<'a, [u8]>),
    /// The first bytes of a file, and their number.
    File(&'a File, u64),
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }
}

impl Payload<'_> {
    /// Returns the number of its bytes.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::File(_, length) => *length,
        }
    }

    /// Gives all bytes to `take`, in order.
    pub(crate) fn pieces(&self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => take(bytes),
            Self::File(file, length) => {
                let mut piece = vec![0; PIECE];
                let mut at = 0;
                while at < *length {
                    let left = usize::try_from(length - at).unwrap_or(PIECE).min(PIECE);
                    file.read_exact_at(&mut piece[..left], at)?;
                    take(&piece[..left]);
                    at += u64::try_from(left).map_err(io::Error::other)?;
                }
            }
        }
        Ok(())
    }
}
