//! The host's side of movers: starting them, sending commands, checking their answers, and cleaning
//! up behind them.

mod budget;
mod reader;
mod session;
mod start;

use std::sync::Arc;

use async_trait::async_trait;
use imprint_ports::{BlockSink, BlockSource, MetadataSegment, Placed};

use super::{
    config::MoverConfig,
    error::MoverError,
    message::{Command, Reply},
};
use crate::{
    digest::DiskDigest,
    disk::Disk,
    error::EngineError,
    transfer::{
        backend::{Transfer, TransferBackend},
        compare::Comparison,
        context::OperationContext,
        in_process::InProcess,
        place::{Layout, REPORT},
        plan::{Event, Pass, TransferResult, WritePlan},
    },
};
use reader::MoverSource;
use session::Session;

/// The largest offset that a file may reach.
const MAX_FILE: u64 = 1 << 62;
/// The largest tables in one message: bytes, and segments.
const TABLES: (usize, usize) = (1 << 20, 4096);

/// The backend that runs operations with encoded units in processes of their own.
pub(super) struct MoverBackend {
    config: MoverConfig,
}

impl MoverBackend {
    pub(super) fn new(config: MoverConfig) -> Self {
        Self { config }
    }
}

/// Returns whether bytes of unknown origin would reach a decoder.
fn decodes(disk: &Disk) -> bool {
    disk.map().encoded_bytes() > 0
}

fn unexpected(reply: &Reply) -> EngineError {
    let what = match reply {
        Reply::Done => "done",
        Reply::Event(_) => "an event",
        Reply::Finished(_) => "a result",
        Reply::Digest(_) => "a digest",
        Reply::Comparison(_) => "a comparison",
        Reply::Bytes(_) => "bytes",
    };
    bad_answer(format!("{what} where something else was expected"))
}

fn bad_answer(what: impl Into<String>) -> EngineError {
    MoverError::BadAnswer { what: what.into() }.into()
}

#[async_trait]
impl TransferBackend for MoverBackend {
    fn name(&self) -> &'static str {
        "in a process of its own"
    }

    async fn write(
        &self,
        disk: &Arc<Disk>,
        sink: &Arc<dyn BlockSink>,
        plan: &WritePlan,
        context: &OperationContext,
    ) -> Result<Box<dyn Transfer>, EngineError> {
        if !decodes(disk) {
            return InProcess.write(disk, sink, plan, context).await;
        }
        let session = Session::open(&self.config, &[disk], Some((sink, plan)), context).await?;
        Ok(Box::new(MoverTransfer { session, disk: disk.clone(), checker: Checker::new(plan) }))
    }

    async fn digest(&self, disk: &Arc<Disk>, context: &OperationContext) -> Result<DiskDigest, EngineError> {
        if !decodes(disk) {
            return InProcess.digest(disk, context).await;
        }
        let mut session = Session::open(&self.config, &[disk], None, context).await?;
        match session.call(Command::Run).await? {
            Reply::Digest(digest) => {
                session.close().await;
                check_unchanged(disk).await?;
                Ok(digest)
            }
            other @ (Reply::Done
            | Reply::Event(_)
            | Reply::Finished(_)
            | Reply::Comparison(_)
            | Reply::Bytes(_)) => Err(unexpected(&other)),
        }
    }

    async fn open(
        &self,
        disk: &Arc<Disk>,
        context: &OperationContext,
    ) -> Result<Arc<dyn BlockSource>, EngineError> {
        if !decodes(disk) {
            return InProcess.open(disk, context).await;
        }
        let session = Session::open_reader(&self.config, disk, context).await?;
        Ok(Arc::new(MoverSource::new(session, disk.size())))
    }

    async fn compare(
        &self,
        first: &Arc<Disk>,
        second: &Arc<Disk>,
        context: &OperationContext,
    ) -> Result<Comparison, EngineError> {
        if !decodes(first) && !decodes(second) {
            return InProcess.compare(first, second, context).await;
        }
        let mut session = Session::open(&self.config, &[first, second], None, context).await?;
        match session.call(Command::Run).await? {
            Reply::Comparison(comparison) => {
                session.close().await;
                Ok(comparison)
            }
            other @ (Reply::Done
            | Reply::Event(_)
            | Reply::Finished(_)
            | Reply::Digest(_)
            | Reply::Bytes(_)) => Err(unexpected(&other)),
        }
    }
}

/// Checks the sources here: only the host's own descriptors were open all the time.
async fn check_unchanged(disk: &Arc<Disk>) -> Result<(), EngineError> {
    let disk = disk.clone();
    crate::util::blocking::run_blocking(move || disk.check_unchanged()).await?
}

/// A transfer in another process.
struct MoverTransfer {
    session: Session,
    disk: Arc<Disk>,
    checker: Checker,
}

impl MoverTransfer {
    async fn done(&mut self, command: Command) -> Result<(), EngineError> {
        match self.session.call(command).await? {
            Reply::Done => Ok(()),
            other @ (Reply::Event(_)
            | Reply::Finished(_)
            | Reply::Digest(_)
            | Reply::Comparison(_)
            | Reply::Bytes(_)) => Err(unexpected(&other)),
        }
    }
}

#[async_trait]
impl Transfer for MoverTransfer {
    async fn start(&mut self, pass: Pass) -> Result<(), EngineError> {
        self.checker.at = 0;
        self.done(Command::Start(pass)).await
    }

    async fn next(&mut self) -> Result<Event, EngineError> {
        match self.session.call(Command::Next).await? {
            Reply::Event(event) => {
                self.checker.check(&event).map_err(bad_answer)?;
                Ok(event)
            }
            other @ (Reply::Done
            | Reply::Finished(_)
            | Reply::Digest(_)
            | Reply::Comparison(_)
            | Reply::Bytes(_)) => Err(unexpected(&other)),
        }
    }

    async fn interleave(&mut self, bytes: Vec<u8>) -> Result<(), EngineError> {
        self.done(Command::Interleave(bytes)).await
    }

    async fn tables(&mut self, segments: Vec<MetadataSegment>) -> Result<(), EngineError> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for segment in segments {
            let length = segment.bytes.len();
            if !batch.is_empty() && (bytes + length > TABLES.0 || batch.len() >= TABLES.1) {
                self.done(Command::Tables(std::mem::take(&mut batch))).await?;
                bytes = 0;
            }
            bytes += length;
            batch.push(segment);
        }
        if batch.is_empty() { Ok(()) } else { self.done(Command::Tables(batch)).await }
    }

    async fn finish(&mut self, file_size: u64, verify: bool) -> Result<TransferResult, EngineError> {
        match self.session.call(Command::Finish { file_size, verify }).await? {
            Reply::Finished(moved) if moved.data_bytes <= self.disk.size() => {
                self.session.close().await;
                check_unchanged(&self.disk).await?;
                Ok(moved)
            }
            Reply::Finished(_) => Err(bad_answer("more data than the disk has")),
            other @ (Reply::Done
            | Reply::Event(_)
            | Reply::Digest(_)
            | Reply::Comparison(_)
            | Reply::Bytes(_)) => Err(unexpected(&other)),
        }
    }
}

/// Checks what a mover reports before it reaches a format plugin.
struct Checker {
    layout: Layout,
    virtual_size: u64,
    /// The virtual offset from which on the next placement may start.
    at: u64,
}

impl Checker {
    fn new(plan: &WritePlan) -> Self {
        Self { layout: plan.layout.clone(), virtual_size: plan.virtual_size, at: 0 }
    }

    fn check(&mut self, event: &Event) -> Result<(), &'static str> {
        match event {
            Event::Placed(runs) if runs.is_empty() || runs.len() > REPORT => {
                Err("a report of placements of another length than agreed")
            }
            Event::Placed(runs) => runs.iter().try_for_each(|run| self.run(run)),
            Event::Interleave { at } => match &self.layout {
                Layout::Units(rules) if (rules.data_start..=MAX_FILE).contains(at) || *at == 0 => Ok(()),
                Layout::Units(_) | Layout::Identity { .. } => Err("tables where there are none"),
            },
            Event::End { end } => match &self.layout {
                Layout::Identity { data_start } if *end != data_start.saturating_add(self.virtual_size) => {
                    Err("a payload that ends elsewhere than its disk")
                }
                Layout::Identity { .. } => Ok(()),
                Layout::Units(rules) if (rules.data_start..=MAX_FILE).contains(end) => Ok(()),
                Layout::Units(_) => Err("a payload that ends where no file does"),
            },
        }
    }

    fn run(&mut self, run: &Placed) -> Result<(), &'static str> {
        let Layout::Units(rules) = &self.layout else { return Err("placements in a file that is the disk") };
        let unit = u64::from(rules.unit);
        let end = run.offset.checked_add(run.length);
        let last = self.virtual_size.div_ceil(unit).saturating_mul(unit);
        let ascending = run.offset >= self.at && run.length > 0 && end.is_some_and(|end| end <= last);
        if !ascending || !run.offset.is_multiple_of(unit) || !run.length.is_multiple_of(unit) {
            return Err("placements out of order");
        }
        let one = run.stored_length == 0 || run.length == unit;
        let stored = if run.stored_length == 0 { run.length } else { u64::from(run.stored_length) };
        let file_end = run.file_offset.checked_add(stored);
        if !one || run.file_offset < rules.data_start || file_end.is_none_or(|end| end > MAX_FILE) {
            return Err("placements outside of any file");
        }
        self.at = end.unwrap_or(last);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
