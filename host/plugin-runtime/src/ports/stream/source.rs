//! Objects whose bytes go through the plugin.

use std::io;

use imprint_ports::{BlockSource, ErrorClass, PortError};

use super::pool::{MAX_CALL, SessionPool, StreamSession};
use crate::{codes::Code, instance::call, ports::storage_context::StorageContext, text::truncate};

/// The properties by which a replaced object is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    size: u64,
    etag: Option<String>,
    modified_ms: Option<u64>,
}

impl Version {
    async fn of(context: &StorageContext, key: &str) -> Result<Self, PortError> {
        let found = context.stat(key).await?;
        if found.key != key {
            let message =
                format!("requested object {key:?}, the storage described {:?}", truncate(&found.key, 100));
            return context.record(Err(Code::BadKey.error(message)));
        }
        Ok(Self { size: found.size, etag: found.etag, modified_ms: found.modified_ms })
    }
}

/// An object of a storage that streams.
pub(super) struct GuestSource {
    pool: SessionPool,
    version: Version,
}

impl GuestSource {
    /// Opens the object with a first reader, which shows whether it can be read.
    pub(super) async fn open(pool: SessionPool) -> Result<Self, PortError> {
        let version = Version::of(&pool.context, pool.target.key()).await?;
        let source = Self { pool, version };
        let mut session = source.pool.start_first().await?;
        source.check(&mut session)?;
        source.pool.add(session);
        Ok(source)
    }

    /// Checks that a reader reads the same object as the others.
    fn check(&self, session: &mut StreamSession) -> Result<(), PortError> {
        if session.size == self.version.size {
            return Ok(());
        }
        let error = Code::SourceChanged.error(format!(
            "{:?} has {} bytes, and there were {} a moment ago; start again when it no longer changes",
            self.pool.target.key(),
            session.size,
            self.version.size
        ));
        session.instance.close(&error);
        Err(error)
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> Result<(), PortError> {
        let length = u32::try_from(buf.len()).expect("a call has at most 1 MiB");
        let pool = &self.pool;
        let bytes = pool.call_blocking(async |session| {
            self.check(session)?;
            let StreamSession { instance, bindings, handle, .. } = session;
            let readers = bindings.imprint_storage_stream_io().reader();
            let answer = call!(instance, "read", |store| readers.call_read(store, *handle, offset, length))?;
            let operation = || format!("read {length} bytes at {offset} of");
            let bytes = answer
                .map_err(|error| pool.operation_failed(&operation(), pool.context.port_error(&error)))?;
            instance.count_from_plugin(bytes.len());
            if bytes.len() != buf.len() {
                let what = format!("answered with {} bytes instead of {length} at {offset}", bytes.len());
                return instance.record(Err(pool.bad_answer(Code::BadLength, &what)));
            }
            Ok(bytes)
        })?;
        buf.copy_from_slice(&bytes);
        Ok(())
    }
}

impl BlockSource for GuestSource {
    fn size(&self) -> u64 {
        self.version.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = u64::try_from(buf.len()).ok().and_then(|length| offset.checked_add(length));
        if end.is_none_or(|end| end > self.version.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut at = offset;
        for piece in buf.chunks_mut(MAX_CALL) {
            self.pool.retry(|| self.read(piece, at))?;
            at += u64::try_from(piece.len()).map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn preferred_read(&self) -> u64 {
        u64::try_from(MAX_CALL).unwrap_or(0)
    }

    fn unchanged(&self) -> io::Result<bool> {
        // The plugin may have no instance besides those that are open here.
        self.pool.drop_idle();
        match self.pool.block_on(Version::of(&self.pool.context, self.pool.target.key())) {
            Ok(now) => Ok(now == self.version),
            Err(error) if error.class == ErrorClass::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
