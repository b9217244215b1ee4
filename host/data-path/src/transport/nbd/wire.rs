//! The socket with a deadline, and the numbers of the protocol.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::NbdError;

pub(super) const INIT_MAGIC: u64 = 0x4e42_444d_4147_4943;
pub(super) const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
pub(super) const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
pub(super) const REQUEST_MAGIC: u32 = 0x2560_9513;
pub(super) const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
pub(super) const STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;

/// The interval at which a waiting call checks whether it was cancelled.
const TICK: Duration = Duration::from_millis(50);

/// The time at which a call gives up.
#[derive(Clone)]
pub(super) struct Deadline {
    at: Instant,
    allowed: Duration,
    cancel: CancellationToken,
}

impl Deadline {
    pub(super) fn after(allowed: Duration, cancel: &CancellationToken) -> Self {
        Self { at: Instant::now() + allowed, allowed, cancel: cancel.clone() }
    }

    /// Returns the time to wait until the next check; an error when the call is over.
    pub(super) fn tick(&self) -> Result<Duration, NbdError> {
        if self.cancel.is_cancelled() {
            return Err(NbdError::Cancelled);
        }
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(NbdError::Timeout { seconds: self.allowed.as_secs() })
        } else {
            Ok(left.min(TICK))
        }
    }
}

/// A connected socket.
pub(super) struct Wire {
    stream: UnixStream,
}

impl Wire {
    pub(super) fn connect(path: &Path) -> Result<Self, NbdError> {
        let stream = UnixStream::connect(path)
            .map_err(|source| NbdError::Connect { path: path.to_owned(), source })?;
        stream
            .set_read_timeout(Some(TICK))
            .and_then(|()| stream.set_write_timeout(Some(TICK)))
            .map_err(NbdError::Socket)?;
        Ok(Self { stream })
    }

    pub(super) fn read(&mut self, mut buf: &mut [u8], deadline: &Deadline) -> Result<(), NbdError> {
        while !buf.is_empty() {
            match self.stream.read(buf) {
                Ok(0) => return Err(NbdError::Disconnected),
                Ok(length) => {
                    buf = &mut buf[length..];
                    // A server that sends byte by byte is as late as one that is silent.
                    deadline.tick()?;
                }
                Err(error) => self.wait(error, deadline)?,
            }
        }
        Ok(())
    }

    pub(super) fn write(&mut self, mut bytes: &[u8], deadline: &Deadline) -> Result<(), NbdError> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(NbdError::Disconnected),
                Ok(length) => bytes = &bytes[length..],
                Err(error) => self.wait(error, deadline)?,
            }
        }
        Ok(())
    }

    /// The socket's own time-out is the interval: it only means that the deadline is checked.
    fn wait(&self, error: io::Error, deadline: &Deadline) -> Result<(), NbdError> {
        match error.kind() == io::ErrorKind::WouldBlock
            || error.kind() == io::ErrorKind::TimedOut
            || error.kind() == io::ErrorKind::Interrupted
        {
            true => deadline.tick().map(|_| ()),
            false
                if error.kind() == io::ErrorKind::BrokenPipe
                    || error.kind() == io::ErrorKind::ConnectionReset =>
            {
                Err(NbdError::Disconnected)
            }
            false => Err(NbdError::Socket(error)),
        }
    }

    pub(super) fn u16(&mut self, deadline: &Deadline) -> Result<u16, NbdError> {
        self.array(deadline).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, deadline: &Deadline) -> Result<u32, NbdError> {
        self.array(deadline).map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self, deadline: &Deadline) -> Result<u64, NbdError> {
        self.array(deadline).map(u64::from_be_bytes)
    }

    pub(super) fn array<const N: usize>(&mut self, deadline: &Deadline) -> Result<[u8; N], NbdError> {
        let mut bytes = [0; N];
        self.read(&mut bytes, deadline)?;
        Ok(bytes)
    }
}

/// Reads big-endian numbers from the front of a message.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }
}
