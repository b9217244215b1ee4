//! The messages between the host and a mover.
//!
//! A mover closes what it inherited, receives a [`Preamble`], enters its sandbox, sends
//! [`FromMover::Hello`], and receives one [`Setup`] with its descriptors and maps. Then the host
//! sends one [`Command`] after the other, and the mover answers each with one [`FromMover::Reply`].
//! When either end of the socket is closed, the mover ends.

use imprint_ports::MetadataSegment;
use serde::{Deserialize, Serialize};

use super::{map::MapHead, sandbox::Isolation, wire_error::WireError};
use crate::{
    codec::CodecSpec,
    digest::DiskDigest,
    transfer::{
        compare::Comparison,
        plan::{Event, Pass, TransferResult, WritePlan},
        progress::ProgressSnapshot,
    },
};

/// The longest read of one command, in bytes.
pub(super) const MAX_READ: u32 = 1 << 20;

/// What a mover needs before it enters its sandbox.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Preamble {
    /// The number of bytes of address space beyond those of the program itself.
    pub(super) memory: u64,
    /// The number of descriptors that it may have open.
    pub(super) descriptors: u64,
}

/// How the bytes of a source are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place {
    /// From the next of the descriptors that came with the setup.
    Descriptor,
    /// By the host, over one of the channels.
    Host,
}

/// A source of a disk.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct SourceHead {
    pub(super) place: Place,
    pub(super) size: u64,
    pub(super) preferred_read: u64,
}

/// A disk; pages with its map follow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DiskHead {
    pub(super) size: u64,
    pub(super) unit: u32,
    pub(super) codecs: Vec<CodecSpec>,
    pub(super) sources: Vec<SourceHead>,
    pub(super) map: MapHead,
}

/// The operation of a mover and its operands. Descriptors: the channels, then those of the sources
/// in their order, then that of the sink, then those of the maps that are in scratch files.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) operation: OperationKind,
    pub(super) disks: Vec<DiskHead>,
    pub(super) threads: u32,
    pub(super) channels: u32,
    pub(super) descriptors: u32,
}

/// How the sink is written.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum SinkHead {
    /// To the next of the descriptors; with `direct` one more, past the page cache.
    Descriptor { direct: bool },
    /// By the host, over the channels.
    Host { fresh: bool, append_only: bool, preferred_write: u64 },
}

/// The kind of an operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum OperationKind {
    /// Writes the first disk.
    Write { plan: WritePlan, sink: SinkHead },
    /// Computes the logical digest of the first disk.
    Digest,
    /// Compares the first with the second disk.
    Compare,
    /// Reads here and there from the first disk.
    Read,
}

/// A command: the calls of [`crate::transfer::backend::Transfer`], `Run` for operations of one
/// step, and `Read` for those that read here and there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Command {
    Start(Pass),
    Next,
    Interleave(Vec<u8>),
    Tables(Vec<MetadataSegment>),
    Finish { file_size: u64, verify: bool },
    Run,
    Read { offset: u64, length: u32 },
}

/// The answer to a command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Done,
    Event(Event),
    Finished(TransferResult),
    Digest(DiskDigest),
    Comparison(Comparison),
    Bytes(Vec<u8>),
}

/// Everything that comes from a mover.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum FromMover {
    /// It is in its sandbox, or reports why not.
    Hello(Result<Isolation, String>),
    /// It has the setup.
    Ready,
    /// Its counters.
    Progress(ProgressSnapshot),
    /// The answer to the last command.
    Reply(Result<Reply, WireError>),
}
