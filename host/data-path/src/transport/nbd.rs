//! NBD client: reads an export on a unix socket, or writes to it ([`NbdSink`]).
//!
//! Fixed newstyle, structured replies and `base:allocation` where the server has them, several
//! requests in flight on each connection, and several connections where the server allows it. The
//! server is not trusted: every length, offset and handle is checked, no byte of the buffer is
//! written twice, and every call has a deadline. A connection that fails in any way is dropped; the
//! next call opens a new one.

mod error;
mod handshake;
mod sink;
mod transmission;
mod wire;

use std::{
    io,
    path::PathBuf,
    sync::{Condvar, Mutex},
    time::Duration,
};

use imprint_ports::{BlockSource, ByteRange, Segment};
use tokio_util::sync::CancellationToken;

use crate::util::{
    lock::lock,
    num::{align_down, align_up, to_u64, to_usize},
};
use handshake::Export;
use transmission::Connection;
use wire::{Deadline, Wire};

pub use error::NbdError;
pub use sink::NbdSink;

/// The largest number of connections to one server.
const MAX_CONNECTIONS: u16 = 16;
/// The largest number of segments that are distinguished; everything behind them counts as data.
const MAX_SEGMENTS: usize = 1 << 22;
/// The longest range in one request for the block status, in bytes.
const STATUS_RANGE: u64 = 1 << 30;

/// The longest range in one request to write zeroes, in bytes, so that it ends within the time of a
/// call.
const ZERO_RANGE: u64 = 256 << 20;
/// The number of bytes of four requests.
const PREFERRED_READ: u64 = 1 << 20;

/// How to reach an export.
#[derive(Clone, Debug)]
pub struct NbdOptions {
    /// The path of the server's socket.
    pub socket: PathBuf,
    /// The name of the export; empty for the default one.
    pub export: String,
    /// The number of connections, if the server allows more than one; at most 16. Default 4.
    pub connections: u16,
    /// The longest time for one call. Default 30 s.
    pub timeout: Duration,
    /// Cancels every waiting call within 50 ms.
    pub cancel: CancellationToken,
}

impl NbdOptions {
    /// Returns options with the defaults.
    pub fn new(socket: impl Into<PathBuf>, export: impl Into<String>) -> Self {
        Self {
            socket: socket.into(),
            export: export.into(),
            connections: 4,
            timeout: Duration::from_secs(30),
            cancel: CancellationToken::new(),
        }
    }

    /// Returns options for an export that a hypervisor serves.
    pub fn for_capture(source: &imprint_ports::NbdSource) -> Self {
        let options = Self::new(&source.socket, &source.export);
        Self { connections: source.max_connections.max(1), ..options }
    }
}

/// An NBD export that several threads can read: each call has a connection to itself.
pub struct NbdClient {
    options: NbdOptions,
    export: Export,
    limit: u16,
    pool: Mutex<Pool>,
    returned: Condvar,
}

struct Pool {
    idle: Vec<Connection>,
    /// The number of connections, idle and busy.
    open: u16,
}

impl NbdClient {
    /// Connects and negotiates. Blocks.
    ///
    /// # Errors
    ///
    /// Any [`NbdError`].
    pub fn connect(options: &NbdOptions) -> Result<Self, NbdError> {
        let first = open(options)?;
        let export = first.export();
        let limit = if export.multi_conn { options.connections.clamp(1, MAX_CONNECTIONS) } else { 1 };
        let pool = Mutex::new(Pool { idle: vec![first], open: 1 });
        Ok(Self { options: options.clone(), export, limit, pool, returned: Condvar::new() })
    }

    /// Returns the number of connections that calls may use at once: the requested one, or 1 where
    /// the server allows no more.
    pub fn connections(&self) -> u16 {
        self.limit
    }

    /// Returns whether the server reports which parts are zero.
    pub fn has_block_status(&self) -> bool {
        self.export.allocation.is_some()
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.options.timeout, &self.options.cancel)
    }

    /// Runs a call on a connection of its own. After an error the connection is closed.
    fn with_connection<T>(
        &self,
        deadline: &Deadline,
        call: impl FnOnce(&mut Connection) -> Result<T, NbdError>,
    ) -> Result<T, NbdError> {
        let taken = self.acquire(deadline)?;
        let outcome = taken.map_or_else(|| self.reopen(), Ok).and_then(|mut connection| {
            let answer = call(&mut connection)?;
            Ok((connection, answer))
        });
        let mut pool = lock(&self.pool);
        let outcome = match outcome {
            Ok((connection, answer)) => {
                pool.idle.push(connection);
                Ok(answer)
            }
            Err(error) => {
                pool.open -= 1;
                Err(error)
            }
        };
        drop(pool);
        self.returned.notify_one();
        outcome
    }

    /// Returns an idle connection; `None` where the caller may open another one.
    fn acquire(&self, deadline: &Deadline) -> Result<Option<Connection>, NbdError> {
        let mut pool = lock(&self.pool);
        loop {
            let tick = deadline.tick()?;
            if let Some(idle) = pool.idle.pop() {
                return Ok(Some(idle));
            }
            if pool.open < self.limit {
                pool.open += 1;
                return Ok(None);
            }
            pool = self.returned.wait_timeout(pool, tick).expect("no holder of this lock panics").0;
        }
    }

    fn reopen(&self) -> Result<Connection, NbdError> {
        let connection = open(&self.options)?;
        if connection.export() == self.export { Ok(connection) } else { Err(NbdError::Changed) }
    }
}

fn open(options: &NbdOptions) -> Result<Connection, NbdError> {
    let deadline = Deadline::after(options.timeout, &options.cancel);
    let mut wire = Wire::connect(&options.socket)?;
    let export = handshake::negotiate(&mut wire, &options.export, &deadline)?;
    Ok(Connection::new(wire, export))
}

impl Drop for NbdClient {
    fn drop(&mut self) {
        let deadline = Deadline::after(Duration::from_secs(1), &self.options.cancel);
        let pool = self.pool.get_mut().expect("no holder of this lock panics");
        for connection in pool.idle.drain(..) {
            if let Err(error) = connection.close(&deadline) {
                tracing::debug!(error = %error, "the NBD server closed the connection first");
            }
        }
    }
}

impl BlockSource for NbdClient {
    fn size(&self) -> u64 {
        self.export.size
    }

    fn preferred_read(&self) -> u64 {
        PREFERRED_READ
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(to_u64(buf.len())).filter(|end| *end <= self.export.size);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        if buf.is_empty() {
            return Ok(());
        }
        let deadline = self.deadline();
        let block = u64::from(self.export.min_block);
        let start = align_down(offset, block);
        let stop = align_up(end, block).unwrap_or(end).min(self.export.size);
        if (start, stop) == (offset, end) {
            return Ok(self.with_connection(&deadline, |connection| connection.read(buf, offset, &deadline))?);
        }
        // Reads that are not aligned to the server's blocks are rare: the ends of disks of odd
        // sizes.
        let mut wide = vec![0; to_usize(stop - start)];
        self.with_connection(&deadline, |connection| connection.read(&mut wide, start, &deadline))?;
        let skip = to_usize(offset - start);
        buf.copy_from_slice(&wide[skip..skip + buf.len()]);
        Ok(())
    }

    fn segments(&self, range: ByteRange) -> io::Result<Vec<Segment>> {
        let end = range.offset.saturating_add(range.length).min(self.export.size);
        let block = u64::from(self.export.min_block);
        let mut segments = Vec::new();
        let mut at = range.offset;
        while let (true, Some(context)) = (at < end && segments.len() < MAX_SEGMENTS, self.export.allocation)
        {
            let start = align_down(at, block);
            let stop = align_up(end.min(start + STATUS_RANGE), block).unwrap_or(end).min(self.export.size);
            let asked = ByteRange { offset: start, length: stop - start };
            let deadline = self.deadline();
            let blocks = self.with_connection(&deadline, |connection| {
                connection.block_status(asked, context, &deadline)
            })?;
            let (mut block_end, before) = (start, at);
            for (length, zero) in blocks {
                block_end = block_end.saturating_add(length);
                let until = block_end.min(end);
                push_segment(&mut segments, at, until, zero);
                at = at.max(until);
            }
            if at == before {
                return Err(NbdError::Protocol { what: "a block status that describes nothing" }.into());
            }
        }
        push_segment(&mut segments, at, end, false);
        Ok(segments)
    }
}

/// Adds `[start, end)`, merging it with a neighbour of the same kind.
fn push_segment(segments: &mut Vec<Segment>, start: u64, end: u64, zero: bool) {
    let Some(length) = end.checked_sub(start).filter(|length| *length > 0) else { return };
    match segments.last_mut() {
        Some(last) if last.zero == zero => last.range.length += length,
        Some(_) | None => segments.push(Segment { range: ByteRange { offset: start, length }, zero }),
    }
}

#[cfg(test)]
mod tests;
