//! The bytes that a guest sees, as a source: for looking into a disk instead of moving it.

use std::{io, sync::Arc};

use imprint_ports::{BlockSource, PortError};

use super::virtual_disk::Disk;
use crate::error::EngineError;

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
