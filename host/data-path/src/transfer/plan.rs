//! The calls and answers of a transfer: plain data, which another process understands too.

use imprint_ports::{BlockSink, Placed};
use serde::{Deserialize, Serialize};

use super::place::Layout;
use crate::digest::{DigestMode, DiskDigest};

/// How a sink is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WriteMode {
    /// In any order; bytes that are not written read as zeroes.
    Sparse,
    /// In any order; every byte of the file is written, because the sink held something before.
    Dense,
    /// Every byte in order.
    Append,
}

impl WriteMode {
    /// Returns the mode that a sink needs.
    pub(crate) fn of(sink: &dyn BlockSink) -> Self {
        match (sink.append_only(), sink.fresh()) {
            (true, _) => Self::Append,
            (false, true) => Self::Sparse,
            (false, false) => Self::Dense,
        }
    }
}

/// What a pass does with the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Pass {
    /// Everything but writing it: it reports all placements.
    Dry,
    /// Writes it.
    Write,
}

/// The plan of a new file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WritePlan {
    pub(crate) layout: Layout,
    /// The virtual size of the new image; not smaller than the disk.
    pub(crate) virtual_size: u64,
    /// The compression level in the encoder's own scale.
    pub(crate) level: Option<i32>,
    /// Whether the file has to be on stable storage at the end.
    pub(crate) durable: bool,
    pub(crate) mode: WriteMode,
    pub(crate) digests: DigestMode,
}

/// What a transfer reports while its payload is moved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// The placement of payload: at most 4096 runs, ascending.
    Placed(Vec<Placed>),
    /// The bytes of the layout at `at` are needed, perhaps none:
    /// [`super::backend::Transfer::interleave`]. All placements before it were reported.
    Interleave {
        /// The offset in the file.
        at: u64,
    },
    /// All payload is written as reported, and this is the last report.
    End {
        /// The file offset at which it ends.
        end: u64,
    },
}

/// The result of a finished transfer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct TransferResult {
    /// The digest of the disk. Meaningless where the plan skips digests.
    pub(crate) logical: DiskDigest,
    /// The digest of the file. Meaningless where the plan skips digests.
    pub(crate) stored: DiskDigest,
    /// The number of virtual bytes in clusters that are not zero.
    pub(crate) data_bytes: u64,
    /// The number of bytes that were written: payload and tables, without holes.
    pub(crate) written_bytes: u64,
    /// The number of bytes that were read from the sources.
    pub(crate) read_bytes: u64,
}
