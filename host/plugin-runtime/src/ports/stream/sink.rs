//! Uploads whose bytes go through the plugin.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use imprint_ports::{BlockSink, PortError};

use super::{Lane, Lanes, MAX_CALL};
use crate::{bindings::stream::exports::imprint::storage::stream_io::Order, work::call};

/// An upload to a storage that streams.
pub(super) struct GuestSink {
    lanes: Lanes,
    order: Order,
    written: Mutex<Written>,
}

struct Written {
    /// Where the next byte goes, of a writer that takes them in turn; `None` after a failure.
    end: Option<u64>,
    /// What the engine says that the whole is long.
    size: Option<u64>,
}

impl GuestSink {
    pub(super) fn new(lanes: Lanes, order: Order) -> Self {
        Self { lanes, order, written: Mutex::new(Written { end: Some(0), size: None }) }
    }

    fn write(&self, buf: &[u8], offset: u64) -> Result<(), PortError> {
        self.lanes.shared.plugin.counters.sent(buf.len());
        self.lanes.wait(async |lane| {
            let Lane { work, bindings, handle, .. } = lane;
            let writers = bindings.imprint_storage_stream_io().writer();
            let answer = call!(work, "write", |store| writers.call_write(store, *handle, offset, buf))?;
            let doing = || format!("write {} bytes at {offset} of", buf.len());
            answer.map_err(|error| self.lanes.named(&doing(), self.lanes.shared.said(error)))
        })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock is held while the plugin is at work: whoever comes second has to wait anyway.
    fn append(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut written = self.written();
        let mut at = match written.end.take() {
            Some(end) if end == offset => end,
            Some(end) => {
                let text = format!("an upload at byte {end} cannot take byte {offset}");
                return Err(io::Error::new(io::ErrorKind::NotSeekable, text));
            }
            None => return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the upload has failed before")),
        };
        for piece in buf.chunks(MAX_CALL) {
            self.write(piece, at)?;
            at += u64::try_from(piece.len()).map_err(io::Error::other)?;
        }
        written.end = Some(at);
        Ok(())
    }
}

impl BlockSink for GuestSink {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        if self.append_only() {
            return self.append(buf, offset);
        }
        let mut at = offset;
        for piece in buf.chunks(MAX_CALL) {
            self.lanes.retry(|| self.write(piece, at))?;
            at = u64::try_from(piece.len())
                .ok()
                .and_then(|length| at.checked_add(length))
                .ok_or(io::ErrorKind::InvalidInput)?;
        }
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let mut written = self.written();
        if self.append_only() && written.end != Some(size) {
            return Err(io::ErrorKind::NotSeekable.into());
        }
        written.size = Some(size);
        Ok(())
    }

    fn preferred_write(&self) -> u64 {
        u64::try_from(MAX_CALL).unwrap_or(0)
    }

    fn sync(&self) -> io::Result<()> {
        let size = self.written().size;
        let size = size.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "an upload is finished when its size is known")
        })?;
        self.lanes.wait(async |lane| {
            let Lane { work, bindings, handle, .. } = lane;
            let writers = bindings.imprint_storage_stream_io().writer();
            let answer = call!(work, "finish", |store| writers.call_finish(store, *handle, size))?;
            let doing = || format!("finish {size} bytes of");
            answer.map_err(|error| self.lanes.named(&doing(), self.lanes.shared.said(error)))
        })?;
        self.lanes.rest();
        Ok(())
    }

    fn append_only(&self) -> bool {
        match self.order {
            Order::Any => false,
            Order::Ascending => true,
        }
    }
}
