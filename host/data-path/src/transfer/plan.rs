//! What a transfer is told and what it answers: plain data, which another process understands too.

use imprint_ports::{BlockSink, Placed};
use serde::{Deserialize, Serialize};

use super::place::Layout;
use crate::digest::{DigestMode, DiskDigest};

/// In which mode a sink is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WriteMode {
    /// In any order; what is not written reads as zeroes.
    Sparse,
    /// In any order; every byte of the file is written, because the sink held something before.
    Dense,
    /// Every byte in turn.
    Append,
}

impl WriteMode {
    /// What a sink needs.
    pub(crate) fn of(sink: &dyn BlockSink) -> Self {
        match (sink.append_only(), sink.fresh()) {
            (true, _) => Self::Append,
            (false, true) => Self::Sparse,
            (false, false) => Self::Dense,
        }
    }
}

/// What happens to the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Pass {
    /// Everything but the writing: it tells where everything will be.
    Dry,
    /// It is written.
    Write,
}

/// What a new file is made by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WritePlan {
    pub(crate) layout: Layout,
    /// Of the new image; not smaller than the disk.
    pub(crate) virtual_size: u64,
    /// Compression level in the encoder's own scale.
    pub(crate) level: Option<i32>,
    /// Whether the file has to be on stable storage at the end.
    pub(crate) durable: bool,
    pub(crate) mode: WriteMode,
    pub(crate) digests: DigestMode,
}

/// What a transfer says while its payload is under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// Where payload is: at most 4096 runs, ascending.
    Placed(Vec<Placed>),
    /// The bytes of the layout that lie at `at` are wanted, perhaps none: [`Transfer::interleave`].
    /// All placements before it were reported.
    Interleave {
        /// Where in the file.
        at: u64,
    },
    /// All payload is where it was reported to be, and the last report was given.
    End {
        /// Where it ends.
        end: u64,
    },
}

/// What a finished transfer knows.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct TransferResult {
    /// Of the disk. Meaningless where the plan skips the digests.
    pub(crate) logical: DiskDigest,
    /// Of the file. Likewise.
    pub(crate) stored: DiskDigest,
    /// Virtual bytes in clusters that are not zero.
    pub(crate) data_bytes: u64,
    /// Payload and tables, without holes.
    pub(crate) written_bytes: u64,
    /// From the sources.
    pub(crate) read_bytes: u64,
}
