//! The work on bytes by the threads of this process.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use imprint_ports::{BlockSink, BlockSource, ByteRange, MetadataSegment};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    backend::{Transfer, TransferBackend},
    compare::{self, Comparison},
    context::OperationContext,
    plan::{Event, Pass, TransferResult, WriteMode, WritePlan},
};
use crate::{
    digest::{DigestBuilder, DiskDigest, StoredDigest},
    disk::{Disk, logical::LogicalSource},
    error::EngineError,
    limits::Limits,
    transfer::{
        pipeline::{self, FileTarget, Operation, Outcome, REPORTS, Target},
        place::{FileTooLarge, Layout},
        progress::Phase,
    },
    transport::window::Window,
    util::{blocking::run_blocking, num::to_u64},
};

/// The backend that uses the threads of this process.
pub(crate) struct InProcess;

#[async_trait]
impl TransferBackend for InProcess {
    fn name(&self) -> &'static str {
        "in this process"
    }

    async fn write(
        &self,
        disk: &Arc<Disk>,
        sink: &Arc<dyn BlockSink>,
        plan: &WritePlan,
        context: &OperationContext,
    ) -> Result<Box<dyn Transfer>, EngineError> {
        Ok(Box::new(InProcessTransfer {
            disk: disk.clone(),
            sink: sink.clone(),
            plan: plan.clone(),
            context: context.clone(),
            stored: Arc::new(StoredDigest::new(plan.digests)),
            read_before: context.progress.snapshot().read,
            written: 0,
            covered: Vec::new(),
            position: 0,
            measured: None,
            payload: Payload::NotStarted,
        }))
    }

    async fn digest(&self, disk: &Arc<Disk>, context: &OperationContext) -> Result<DiskDigest, EngineError> {
        context.progress.add_total(disk.map().stored_bytes());
        logical_digest(disk.clone(), context.clone()).await
    }

    async fn open(
        &self,
        disk: &Arc<Disk>,
        _context: &OperationContext,
    ) -> Result<Arc<dyn BlockSource>, EngineError> {
        Ok(Arc::new(LogicalSource(disk.clone())))
    }

    async fn compare(
        &self,
        first: &Arc<Disk>,
        second: &Arc<Disk>,
        context: &OperationContext,
    ) -> Result<Comparison, EngineError> {
        let (first, second, context) = (first.clone(), second.clone(), context.clone());
        run_blocking(move || compare::compare_disks(&first, &second, &context)).await?
    }
}

async fn logical_digest(disk: Arc<Disk>, context: OperationContext) -> Result<DiskDigest, EngineError> {
    run_blocking(move || {
        let operation = Operation { disk, target: Target::Nothing, context };
        let outcome = pipeline::run(&operation)?;
        operation.disk.check_unchanged()?;
        Ok(outcome.logical.finish(operation.disk.size()))
    })
    .await?
}

struct InProcessTransfer {
    disk: Arc<Disk>,
    sink: Arc<dyn BlockSink>,
    plan: WritePlan,
    context: OperationContext,
    stored: Arc<StoredDigest>,
    read_before: u64,
    /// The number of bytes that were written outside of the pipeline.
    written: u64,
    /// The ranges of the payload and of what was written outside of the pipeline; where every byte
    /// is written.
    covered: Vec<(u64, u64)>,
    /// The position of a sink that takes every byte in order.
    position: u64,
    /// The disk's digest in the dry pass.
    measured: Option<DiskDigest>,
    payload: Payload,
}

/// The state of the payload.
enum Payload {
    NotStarted,
    Moving {
        pass: Pass,
        events: mpsc::Receiver<Event>,
        answers: mpsc::Sender<Vec<u8>>,
        pipeline: JoinHandle<Result<Outcome, EngineError>>,
    },
    Finished(Box<Outcome>),
}

/// The largest number of ranges that are recorded where every byte is written.
const MAX_PIECES: usize = 1 << 20;

fn out_of_order() -> EngineError {
    EngineError::OutOfOrder
}

impl InProcessTransfer {
    async fn set_size(&self, size: u64) -> Result<(), EngineError> {
        let sink = self.sink.clone();
        run_blocking(move || sink.set_size(size).map_err(|error| EngineError::write(size, error))).await?
    }

    async fn write_zeroes(&mut self, start: u64, end: u64) -> Result<(), EngineError> {
        if start < end {
            let (sink, context) = (self.sink.clone(), self.context.clone());
            self.written +=
                run_blocking(move || pipeline::fill_zeroes(sink.as_ref(), &context, start, end)).await??;
        }
        Ok(())
    }

    /// Fills a sink that takes every byte in order up to `at`.
    async fn fill_up_to(&mut self, at: u64) -> Result<(), EngineError> {
        match self.plan.mode {
            WriteMode::Append => {
                let from = std::mem::replace(&mut self.position, at);
                self.write_zeroes(from, at).await
            }
            WriteMode::Sparse | WriteMode::Dense => Ok(()),
        }
    }

    /// Records what was written, where the rest has to be made zero.
    fn cover(&mut self, start: u64, end: u64) -> Result<(), EngineError> {
        if self.plan.mode == WriteMode::Dense && start < end {
            match self.covered.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                Some(_) | None => self.covered.push((start, end)),
            }
        }
        if self.covered.len() <= MAX_PIECES {
            Ok(())
        } else {
            Err(EngineError::Unsupported {
                what: "writing tables in more than a million pieces to a device".to_owned(),
            })
        }
    }

    /// Makes everything zero that was not written on a sink that held something before.
    async fn clear_the_rest(&mut self, file_size: u64) -> Result<(), EngineError> {
        let mut covered = std::mem::take(&mut self.covered);
        covered.sort_unstable();
        covered.push((file_size, file_size));
        let mut at = 0;
        for (start, end) in covered {
            self.write_zeroes(at, start).await?;
            at = at.max(end);
        }
        Ok(())
    }

    /// Ends a pass whose payload is complete, and returns where the payload ends.
    async fn finish_payload(&mut self, pass: Pass, outcome: Outcome) -> Result<u64, EngineError> {
        let end = outcome.end;
        if pass == Pass::Dry {
            self.measured = Some(outcome.logical.finish(self.disk.size()));
            self.payload = Payload::NotStarted;
            return Ok(end);
        }
        match self.plan.mode {
            WriteMode::Sparse => {}
            WriteMode::Dense => {
                self.write_zeroes(outcome.position, end).await?;
                self.cover(self.plan.layout.data_start(), end)?;
            }
            WriteMode::Append => {
                self.position = outcome.position;
                self.fill_up_to(end).await?;
            }
        }
        self.payload = Payload::Finished(Box::new(outcome));
        Ok(end)
    }

    /// Reads the file back and compares its digest.
    async fn verify(&self, file_size: u64, stored: DiskDigest) -> Result<(), EngineError> {
        let (sink, progress) = (self.sink.clone(), self.context.progress.clone());
        let dense = self.plan.mode == WriteMode::Dense;
        let file = run_blocking(move || {
            let source = sink.read_back().map_err(|error| EngineError::read(0, file_size, error))?;
            let source = source.ok_or_else(|| EngineError::InvalidOption {
                what: "this destination cannot be read back; write without verification".to_owned(),
            })?;
            // A device may be longer than the image.
            let source: Arc<dyn BlockSource> = if dense && source.size() > file_size {
                Arc::new(Window::new(source, ByteRange { offset: 0, length: file_size }))
            } else {
                source
            };
            let limits = Limits { virtual_size: u64::MAX, ..Limits::default() };
            let file = Arc::new(Disk::from_raw(source, &limits)?);
            progress.set_phase(Phase::Verifying);
            progress.add_total(file.map().stored_bytes());
            Ok::<_, EngineError>(file)
        })
        .await??;
        if logical_digest(file, self.context.clone()).await? == stored {
            Ok(())
        } else {
            Err(EngineError::Mismatch)
        }
    }
}

#[async_trait]
impl Transfer for InProcessTransfer {
    async fn start(&mut self, pass: Pass) -> Result<(), EngineError> {
        let progress = &self.context.progress;
        let total = self.disk.map().stored_bytes();
        match (pass, self.measured) {
            (Pass::Dry, _) => {
                progress.set_phase(Phase::Measuring);
                progress.add_total(total.saturating_mul(2));
            }
            (Pass::Write, None) => progress.add_total(total),
            (Pass::Write, Some(_)) => progress.set_phase(Phase::Moving),
        }
        if pass == Pass::Write {
            match (&self.plan.layout, self.plan.mode) {
                (_, WriteMode::Append) => self.fill_up_to(self.plan.layout.data_start()).await?,
                (Layout::Identity { data_start }, WriteMode::Sparse | WriteMode::Dense) => {
                    let end = data_start.checked_add(self.plan.virtual_size).ok_or(FileTooLarge)?;
                    self.set_size(end).await?;
                }
                (Layout::Units(_), WriteMode::Sparse | WriteMode::Dense) => {}
            }
        }
        let (sender, events) = mpsc::channel(REPORTS);
        let (answers, receiver) = mpsc::channel(1);
        let target = Target::File(FileTarget {
            sink: self.sink.clone(),
            plan: self.plan.clone(),
            pass,
            stored: self.stored.clone(),
            events: sender,
            answers: Mutex::new(receiver),
        });
        let operation = Operation { disk: self.disk.clone(), target, context: self.context.clone() };
        let pipeline = tokio::task::spawn_blocking(move || pipeline::run(&operation));
        self.payload = Payload::Moving { pass, events, answers, pipeline };
        Ok(())
    }

    async fn next(&mut self) -> Result<Event, EngineError> {
        let Payload::Moving { pass, events, pipeline, .. } = &mut self.payload else {
            return Err(out_of_order());
        };
        if let Some(event) = events.recv().await {
            return Ok(event);
        }
        let pass = *pass;
        let outcome = pipeline.await.map_err(|_| EngineError::WorkerLost)??;
        Ok(Event::End { end: self.finish_payload(pass, outcome).await? })
    }

    async fn interleave(&mut self, bytes: Vec<u8>) -> Result<(), EngineError> {
        let Payload::Moving { answers, .. } = &self.payload else { return Err(out_of_order()) };
        // When the pipeline no longer waits for it, the next event is the reason.
        let _ = answers.send(bytes).await;
        Ok(())
    }

    async fn tables(&mut self, segments: Vec<MetadataSegment>) -> Result<(), EngineError> {
        for MetadataSegment { file_offset: at, bytes } in segments {
            let length = to_u64(bytes.len());
            let end = at.checked_add(length).ok_or(FileTooLarge)?;
            self.fill_up_to(at).await?;
            let (sink, stored) = (self.sink.clone(), self.stored.clone());
            run_blocking(move || {
                sink.write_all_at(&bytes, at).map_err(|error| EngineError::write(at, error))?;
                Ok::<(), EngineError>(stored.write(at, &bytes)?)
            })
            .await??;
            self.cover(at, end)?;
            self.position = end;
            self.written += length;
            self.context.progress.count_written(length);
        }
        Ok(())
    }

    async fn finish(&mut self, file_size: u64, verify: bool) -> Result<TransferResult, EngineError> {
        let Payload::Finished(outcome) = std::mem::replace(&mut self.payload, Payload::NotStarted) else {
            return Err(out_of_order());
        };
        let Outcome { logical, stored_prefix, data_bytes, written, .. } = *outcome;
        match self.plan.mode {
            WriteMode::Sparse => {}
            WriteMode::Dense => self.clear_the_rest(file_size).await?,
            WriteMode::Append => self.fill_up_to(file_size).await?,
        }
        self.set_size(file_size).await?;
        let (disk, sink, durable) = (self.disk.clone(), self.sink.clone(), self.plan.durable);
        run_blocking(move || {
            if durable {
                sink.sync().map_err(|error| EngineError::write(0, error))?;
            }
            disk.check_unchanged()
        })
        .await??;
        let logical = logical.finish(self.disk.size());
        if self.measured.is_some_and(|measured| measured != logical) {
            return Err(EngineError::SourceChanged);
        }
        let prefix = match self.plan.layout {
            Layout::Identity { data_start: 0 } => stored_prefix,
            Layout::Identity { .. } | Layout::Units(_) => DigestBuilder::new(),
        };
        let stored = Arc::into_inner(std::mem::take(&mut self.stored)).ok_or(EngineError::WorkerLost)?;
        let stored = stored.finish(prefix, file_size);
        let read = self.context.progress.snapshot().read;
        if verify {
            self.verify(file_size, stored).await?;
        }
        Ok(TransferResult {
            logical,
            stored,
            data_bytes,
            written_bytes: written + self.written,
            read_bytes: read.saturating_sub(self.read_before),
        })
    }
}
