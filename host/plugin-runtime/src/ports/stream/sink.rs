//! Uploads whose bytes go through the plugin.

use std::{
    io,
    sync::{Mutex, MutexGuard},
};

use imprint_ports::{BlockSink, PortError};

use super::pool::{MAX_CALL, SessionPool, StreamSession};
use crate::{bindings::stream::exports::imprint::storage::stream_io::Order, instance::call, sync};

/// An upload to a storage that streams.
pub(super) struct GuestSink {
    pool: SessionPool,
    order: Order,
    written: Mutex<Written>,
}

struct Written {
    /// The offset of the next byte, for a writer that takes them in order; `None` after a failure.
    end: Option<u64>,
    /// The size of the whole upload, once it is known.
    size: Option<u64>,
}

impl GuestSink {
    /// Opens the upload with a first writer.
    pub(super) async fn open(pool: SessionPool) -> Result<Self, PortError> {
        let mut session = pool.start_first().await?;
        let StreamSession { instance, bindings, handle, .. } = &mut session;
        let writers = bindings.imprint_storage_stream_io().writer();
        let order = call!(instance, "order", |store| writers.call_order(store, *handle))?;
        pool.add(session);
        Ok(Self { pool, order, written: Mutex::new(Written { end: Some(0), size: None }) })
    }

    fn write(&self, buf: &[u8], offset: u64) -> Result<(), PortError> {
        let pool = &self.pool;
        pool.call_blocking(async |session| {
            let StreamSession { instance, bindings, handle, .. } = session;
            instance.count_to_plugin(buf.len());
            let writers = bindings.imprint_storage_stream_io().writer();
            let answer = call!(instance, "write", |store| writers.call_write(store, *handle, offset, buf))?;
            let operation = || format!("write {} bytes at {offset} of", buf.len());
            answer.map_err(|error| pool.operation_failed(&operation(), pool.context.port_error(&error)))
        })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        sync::lock(&self.written)
    }

    /// Appends bytes. The lock is held during the call: a second writer has to wait anyway.
    fn append(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut written = self.written();
        let mut at = match written.end.take() {
            Some(end) if end == offset => end,
            Some(end) => {
                let text = format!("an upload at byte {end} cannot take byte {offset}");
                return Err(io::Error::new(io::ErrorKind::NotSeekable, text));
            }
            None => return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the upload has already failed")),
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
            self.pool.retry(|| self.write(piece, at))?;
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
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "an upload can only be finished when its size is known",
            )
        })?;
        let pool = &self.pool;
        // Each writer may keep bytes of its own until then.
        pool.call_each_blocking(async |session| {
            let StreamSession { instance, bindings, handle, .. } = session;
            let writers = bindings.imprint_storage_stream_io().writer();
            let answer = call!(instance, "finish", |store| writers.call_finish(store, *handle, size))?;
            let operation = || format!("finish {size} bytes of");
            answer.map_err(|error| pool.operation_failed(&operation(), pool.context.port_error(&error)))
        })?;
        pool.drop_idle();
        Ok(())
    }

    fn append_only(&self) -> bool {
        match self.order {
            Order::Any => false,
            Order::Ascending => true,
        }
    }
}
