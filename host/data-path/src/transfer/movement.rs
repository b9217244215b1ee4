//! The seam between the conversation with a format plugin and the work on bytes.
//!
//! A [`ByteMover`] does all work that touches the bytes of a disk: reading, decoding, hashing,
//! encoding, writing. What it is told and what it answers is plain data, so that it may live in
//! another process; [`InProcess`] works on this process's threads. The conversation with the format
//! plugin stays with the caller: see [`crate::write_image`].

mod in_process;

use std::{fmt, num::NonZeroUsize, sync::Arc};

use async_trait::async_trait;
use imprint_ports::{BlockSink, MetadataSegment, Placed};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    digest::{Digests, DiskDigest},
    disk::Disk,
    error::EngineError,
    transfer::{place::Layout, progress::Progress, tools::Comparison},
};

pub(crate) use in_process::InProcess;

/// Who moves the bytes of a job.
#[derive(Clone)]
pub struct Mover(pub(crate) Arc<dyn ByteMover>);

impl Default for Mover {
    /// Where an application has said how movers are started ([`crate::mover::configure`]): a
    /// process of its own for disks with encoded units. Else the threads of this process.
    fn default() -> Self {
        match crate::mover::configured() {
            Some(config) => Self::process(config.clone()),
            None => Self(Arc::new(InProcess)),
        }
    }
}

impl fmt::Debug for Mover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mover({})", self.0.name())
    }
}

/// What a job of any kind is run with.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) threads: Option<NonZeroUsize>,
    pub(crate) cancel: CancellationToken,
    pub(crate) progress: Arc<Progress>,
}

/// In which manner a sink is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Manner {
    /// In any order; what is not written reads as zeroes.
    Sparse,
    /// In any order; every byte of the file is written, because the sink held something before.
    Dense,
    /// Every byte in turn.
    Append,
}

impl Manner {
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
    pub(crate) manner: Manner,
    pub(crate) digests: Digests,
}

/// What a movement says while its payload is under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// Where payload is: at most 4096 runs, ascending.
    Placed(Vec<Placed>),
    /// The bytes of the layout that lie at `at` are wanted, perhaps none: [`Movement::interleave`].
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

/// What a finished movement knows.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Moved {
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

/// Does the work on bytes.
#[async_trait]
pub(crate) trait ByteMover: Send + Sync {
    /// For logs.
    fn name(&self) -> &'static str;
    /// Takes a disk and an empty sink for writing one into the other.
    async fn write(
        &self,
        disk: &Arc<Disk>,
        sink: &Arc<dyn BlockSink>,
        plan: &WritePlan,
        running: &Running,
    ) -> Result<Box<dyn Movement>, EngineError>;
    /// The logical digest of a disk.
    async fn digest(&self, disk: &Arc<Disk>, running: &Running) -> Result<DiskDigest, EngineError>;
    /// How two disks differ.
    async fn compare(
        &self,
        first: &Arc<Disk>,
        second: &Arc<Disk>,
        running: &Running,
    ) -> Result<Comparison, EngineError>;
}

/// A disk on its way into a file. When it is dropped, everything stops.
///
/// Calls: `start`, then `next` again and again up to [`Event::End`], then `tables` for each page,
/// then `finish`. For a sink that takes every byte in turn, the tables that lie before the payload
/// come before `start(Pass::Write)`, and all of this may follow a whole dry pass
/// (`start(Pass::Dry)`, `next` up to its end), whose placements come out again in the second one.
#[async_trait]
pub(crate) trait Movement: Send {
    /// Starts a pass over the payload.
    async fn start(&mut self, pass: Pass) -> Result<(), EngineError>;
    /// What comes next.
    async fn next(&mut self) -> Result<Event, EngineError>;
    /// The answer to [`Event::Interleave`], at most 1 MiB.
    async fn interleave(&mut self, bytes: Vec<u8>) -> Result<(), EngineError>;
    /// Writes tables and headers, in this order; ascending for a sink that takes every byte in
    /// turn.
    async fn tables(&mut self, segments: Vec<MetadataSegment>) -> Result<(), EngineError>;
    /// Makes the file exactly this long, makes everything durable if the plan says so, and makes
    /// sure that the sources are still what they were. With `verify` it reads the file again and
    /// compares.
    async fn finish(&mut self, file_size: u64, verify: bool) -> Result<Moved, EngineError>;
}
