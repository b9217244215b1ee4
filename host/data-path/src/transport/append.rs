//! A stream as a sink.

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use imprint_ports::BlockSink;

use crate::util::num::to_u64;

/// A stream as a sink that can only be appended to. Durability is the stream's own matter:
/// [`BlockSink::sync`] flushes it.
///
/// The owner of a stream that blocks for long closes it to cancel the operation.
pub struct AppendSink<W> {
    state: Mutex<(W, u64)>,
}

impl<W: Write + Send> AppendSink<W> {
    /// Returns a sink that appends to `stream`. The stream's current end is offset 0.
    pub fn new(stream: W) -> Self {
        Self { state: Mutex::new((stream, 0)) }
    }

    /// Returns the stream and the number of bytes that were written to it.
    pub fn into_inner(self) -> (W, u64) {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Write + Send> BlockSink for AppendSink<W> {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.1 != offset {
            let text = format!("a stream at byte {} cannot take byte {offset}", state.1);
            return Err(io::Error::new(io::ErrorKind::NotSeekable, text));
        }
        state.0.write_all(buf)?;
        state.1 += to_u64(buf.len());
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let at = self.state.lock().unwrap_or_else(PoisonError::into_inner).1;
        if at == size { Ok(()) } else { Err(io::ErrorKind::NotSeekable.into()) }
    }

    fn sync(&self) -> io::Result<()> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0.flush()
    }

    fn append_only(&self) -> bool {
        true
    }
}
