//! The border between the conversation with a format plugin and the work on bytes.
//!
//! A [`TransferBackend`] does all work that touches the bytes of a disk: reading, decoding,
//! hashing, encoding, writing. Its calls and answers are plain data, so that the work may run in
//! another process; [`super::in_process::InProcess`] uses the threads of this process. The
//! conversation with the format plugin stays with the caller: see [`crate::write_image`].

use std::sync::Arc;

use async_trait::async_trait;
use imprint_ports::{BlockSink, BlockSource, MetadataSegment};

use super::{
    compare::Comparison,
    context::OperationContext,
    plan::{Event, Pass, TransferResult, WritePlan},
};
use crate::{digest::DiskDigest, disk::Disk, error::EngineError};

/// Does the work on bytes.
#[async_trait]
pub(crate) trait TransferBackend: Send + Sync {
    /// Returns the name of the backend, for logs.
    fn name(&self) -> &'static str;
    /// Prepares writing a disk to an empty sink.
    async fn write(
        &self,
        disk: &Arc<Disk>,
        sink: &Arc<dyn BlockSink>,
        plan: &WritePlan,
        context: &OperationContext,
    ) -> Result<Box<dyn Transfer>, EngineError>;
    /// Returns the logical digest of a disk.
    async fn digest(&self, disk: &Arc<Disk>, context: &OperationContext) -> Result<DiskDigest, EngineError>;
    /// Returns the bytes of a disk, for reads here and there.
    async fn open(
        &self,
        disk: &Arc<Disk>,
        context: &OperationContext,
    ) -> Result<Arc<dyn BlockSource>, EngineError>;
    /// Returns how two disks differ.
    async fn compare(
        &self,
        first: &Arc<Disk>,
        second: &Arc<Disk>,
        context: &OperationContext,
    ) -> Result<Comparison, EngineError>;
}

/// A disk on its way into a file. When it is dropped, everything stops.
///
/// Calls: `start`, then `next` until [`Event::End`], then `tables` for each page, then `finish`.
/// For a sink that takes every byte in order, the tables in front of the payload come before
/// `start(Pass::Write)`, and all of this may follow a whole dry pass (`start(Pass::Dry)`, `next` up
/// to its end), whose placements are reported once more in the second one.
#[async_trait]
pub(crate) trait Transfer: Send {
    /// Starts a pass over the payload.
    async fn start(&mut self, pass: Pass) -> Result<(), EngineError>;
    /// Returns the next event.
    async fn next(&mut self) -> Result<Event, EngineError>;
    /// Answers [`Event::Interleave`], with at most 1 MiB.
    async fn interleave(&mut self, bytes: Vec<u8>) -> Result<(), EngineError>;
    /// Writes tables and headers, in this order; ascending for a sink that takes every byte in
    /// order.
    async fn tables(&mut self, segments: Vec<MetadataSegment>) -> Result<(), EngineError>;
    /// Makes the file exactly this long, makes everything durable if the plan requires it, and
    /// checks that the sources did not change. With `verify` it reads the file back and compares.
    async fn finish(&mut self, file_size: u64, verify: bool) -> Result<TransferResult, EngineError>;
}
