//! Reading the body of an answer: exactly so many bytes, at a pace that a server has to keep.

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

use ureq::Body;

use crate::error::HttpError;

/// The bytes of one read of a body.
const PIECE: usize = 64 << 10;
/// The slowest pace that is waited for, in bytes a second, once `Pace::pause` is over: a server
/// that sends a byte now and then would never be done.
const SLOWEST: u64 = 1 << 10;

/// How much of a body has arrived, and since when.
struct Pace {
    began: Instant,
    /// The longest pause, which is also the time until the pace counts.
    pause: Duration,
    arrived: u64,
}

impl Pace {
    fn is_kept(&self) -> bool {
        let took = self.began.elapsed();
        took <= self.pause || self.arrived >= took.as_secs().saturating_mul(SLOWEST)
    }
}

/// Fills `buf` with the body, which has to be as long as it. What has arrived is counted in
/// `filled`, also where an error ends it.
///
/// # Errors
///
/// [`HttpError::Connect`] for a body that ends too early, [`HttpError::Stalled`],
/// [`HttpError::Protocol`] for one that is longer.
pub(crate) fn fill(
    body: &mut Body,
    buf: &mut [u8],
    (host, pause): (&str, Duration),
    filled: &mut usize,
) -> Result<(), HttpError> {
    let mut reader = body.as_reader();
    let mut pace = Pace { began: Instant::now(), pause, arrived: 0 };
    while *filled < buf.len() {
        let end = buf.len().min(*filled + PIECE);
        match reader.read(&mut buf[*filled..end]) {
            Ok(0) => {
                let why = "the connection ended in the middle of an answer".to_owned();
                return Err(HttpError::Connect { host: host.to_owned(), why });
            }
            Ok(read) => {
                *filled += read;
                pace.arrived += u64::try_from(read).unwrap_or(u64::MAX);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(host, &error)),
        }
        if !pace.is_kept() {
            return Err(HttpError::Stalled { host: host.to_owned() });
        }
    }
    // The body is complete, so the connection can be reused.
    match reader.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(HttpError::Protocol { what: "it is longer than was asked for" }),
        Err(error) => Err(failed(host, &error)),
    }
}

/// Gives all of a body to `take`, piece by piece.
///
/// # Errors
///
/// As [`fill`], and those of `take`.
pub(crate) fn drain(
    body: &mut Body,
    (host, pause): (&str, Duration),
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut reader = body.as_reader();
    let mut piece = vec![0; PIECE];
    let mut pace = Pace { began: Instant::now(), pause, arrived: 0 };
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                take(&piece[..read])?;
                pace.arrived += u64::try_from(read).unwrap_or(u64::MAX);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(host, &error).into()),
        }
        if !pace.is_kept() {
            return Err(HttpError::Stalled { host: host.to_owned() }.into());
        }
    }
}

/// Returns the error for a body that cannot be read on.
fn failed(host: &str, error: &io::Error) -> HttpError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    if matches!(inner, Some(ureq::Error::Timeout(_)))
        || matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
    {
        return HttpError::Stalled { host: host.to_owned() };
    }
    HttpError::Connect { host: host.to_owned(), why: error.to_string() }
}
