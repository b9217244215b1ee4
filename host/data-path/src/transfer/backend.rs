//! The seam between the conversation with a format plugin and the work on bytes.
//!
//! A [`TransferBackend`] does all work that touches the bytes of a disk: reading, decoding, hashing,
//! encoding, writing. What it is told and what it answers is plain data, so that it may live in
//! another process; [`super::in_process::InProcess`] works on this process's threads. The conversation with the format
//! plugin stays with the caller: see [`crate::write_image`].

use std::sync::Arc;

use async_trait::async_trait;
use imprint_ports::{BlockSink, MetadataSegment};

use super::{
    compare::Comparison,
    context::OperationContext,
    plan::{Event, Pass, TransferResult, WritePlan},
};
use crate::{digest::DiskDigest, disk::Disk, error::EngineError};

/// Does the work on bytes.
#[async_trait]
pub(crate) trait TransferBackend: Send + Sync {
    /// For logs.
    fn name(&self) -> &'static str;
    /// Takes a disk and an empty sink for writing one into the other.
    async fn write(
        &self,
        disk: &Arc<Disk>,
        sink: &Arc<dyn BlockSink>,
        plan: &WritePlan,
        context: &OperationContext,
    ) -> Result<Box<dyn Transfer>, EngineError>;
    /// The logical digest of a disk.
    async fn digest(&self, disk: &Arc<Disk>, context: &OperationContext) -> Result<DiskDigest, EngineError>;
    /// How two disks differ.
    async fn compare(
        &self,
        first: &Arc<Disk>,
        second: &Arc<Disk>,
        context: &OperationContext,
    ) -> Result<Comparison, EngineError>;
}

/// A disk on its way into a file. When it is dropped, everything stops.
///
/// Calls: `start`, then `next` again and again up to [`Event::End`], then `tables` for each page,
/// then `finish`. For a sink that takes every byte in turn, the tables that lie before the payload
/// come before `start(Pass::Write)`, and all of this may follow a whole dry pass
/// (`start(Pass::Dry)`, `next` up to its end), whose placements come out again in the second one.
#[async_trait]
pub(crate) trait Transfer: Send {
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
    async fn finish(&mut self, file_size: u64, verify: bool) -> Result<TransferResult, EngineError>;
}
