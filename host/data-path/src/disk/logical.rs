//! The bytes that a guest sees, as a source: for whoever looks into a disk instead of moving it.

use std::{io, sync::Arc};

use imprint_ports::{BlockSource, PortError};

use super::virtual_disk::Disk;
use crate::{error::EngineError, transfer::options::WriteOptions};

/// Returns the bytes of a disk as a source, whatever its format: holes and zeroes read as zeroes,
/// layers are resolved, encoded units are decoded, in a process of their own where
/// [`Backend::process`](crate::Backend::process) is used. Uses the options `cancel` and `backend`.
/// Memory: at most 8 MiB and one decoded unit; whoever reads keeps what it needs again.
///
/// The source ends its process when it is dropped.
///
/// # Errors
///
/// A mover that cannot be started.
pub async fn logical_source(
    disk: &Arc<Disk>,
    options: &WriteOptions,
) -> Result<Arc<dyn BlockSource>, EngineError> {
    let context = options.context(&options.cancel);
    options.backend.0.open(disk, &context).await
}

/// The bytes of a disk, read by the calling thread.
pub(crate) struct LogicalSource(pub(crate) Arc<Disk>);

impl BlockSource for LogicalSource {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_at(buf, offset).map_err(|error| to_io(&error))
    }
}

/// Returns an error of the engine as that of a source, with its code.
pub(crate) fn to_io(error: &EngineError) -> io::Error {
    PortError::host(error.class(), error.code(), error.report()).into()
}
