//! Files with the certificates of authorities that the user trusts (`--ca-file`).

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use imprint_http_client::Authority;
use rustix::fs::{Mode, OFlags};

/// Reads the certificates of a file. `shown` is its path for messages.
///
/// # Errors
///
/// The file cannot be read, or is no list of certificates of authorities.
pub(crate) fn read(path: &Path, shown: &str) -> io::Result<Vec<Authority>> {
    // Without blocking: opening a FIFO would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let mut pem = Vec::new();
    // One byte more than is accepted, so that a longer file is refused and not truncated.
    file.take(Authority::MAX_PEM + 1).read_to_end(&mut pem)?;
    Ok(Authority::of_pem(&pem, shown)?)
}
