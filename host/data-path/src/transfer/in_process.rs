//! Work on bytes on the threads of this process.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use imprint_ports::{BlockSink, BlockSource, ByteRange, MetadataSegment};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    backend::{ByteMover, Movement},
    compare::{self, Comparison},
    context::Running,
    plan::{Event, Manner, Moved, Pass, WritePlan},
};
use crate::{
    digest::{DigestBuilder, DiskDigest, StoredDigest},
    disk::Disk,
    error::EngineError,
    limits::Limits,
    transfer::{
        pipeline::{self, FileTarget, Job, Outcome, REPORTS, Target},
        place::{FileTooLarge, Layout},
        progress::Phase,
    },
    transport::window::Window,
    util::{blocking::run_blocking, num::to_u64},
};

/// The threads of this process.
pub(crate) struct InProcess;

#[async_trait]
impl ByteMover for InProcess {
    fn name(&self) -> &'static str {
        "in this process"
    }

    async fn write(
        &self,
        disk: &Arc<Disk>,
        sink: &Arc<dyn BlockSink>,
        plan: &WritePlan,
        running: &Running,
    ) -> Result<Box<dyn Movement>, EngineError> {
        Ok(Box::new(Local {
            disk: disk.clone(),
            sink: sink.clone(),
            plan: plan.clone(),
            running: running.clone(),
            stored: Arc::new(StoredDigest::new(plan.digests)),
            read_before: running.progress.snapshot().read,
            written: 0,
            covered: Vec::new(),
            position: 0,
            measured: None,
            payload: Payload::Before,
        }))
    }

    async fn digest(&self, disk: &Arc<Disk>, running: &Running) -> Result<DiskDigest, EngineError> {
        running.progress.start(disk.map().stored_bytes());
        logical_digest(disk.clone(), running.clone()).await
    }

    async fn compare(
        &self,
        first: &Arc<Disk>,
        second: &Arc<Disk>,
        running: &Running,
    ) -> Result<Comparison, EngineError> {
        let (first, second, running) = (first.clone(), second.clone(), running.clone());
        run_blocking(move || compare::compare_blocking(&first, &second, &running)).await?
    }
}

async fn logical_digest(disk: Arc<Disk>, running: Running) -> Result<DiskDigest, EngineError> {
    run_blocking(move || {
        let job = Job { disk, target: Target::Nothing, running };
        let outcome = pipeline::run(&job)?;
        job.disk.check_unchanged()?;
        Ok(outcome.logical.finish(job.disk.size()))
    })
    .await?
}

struct Local {
    disk: Arc<Disk>,
    sink: Arc<dyn BlockSink>,
    plan: WritePlan,
    running: Running,
    stored: Arc<StoredDigest>,
    read_before: u64,
    /// Bytes that were written outside of the pipeline.
    written: u64,
    /// What was written outside of the pipeline, and the payload; where every byte is written.
    covered: Vec<(u64, u64)>,
    /// Where a sink is that takes every byte in turn.
    position: u64,
    /// The disk's digest in the dry pass.
    measured: Option<DiskDigest>,
    payload: Payload,
}

/// How far the payload is.
enum Payload {
    Before,
    Under {
        pass: Pass,
        events: mpsc::Receiver<Event>,
        answers: mpsc::Sender<Vec<u8>>,
        pipeline: JoinHandle<Result<Outcome, EngineError>>,
    },
    Done(Box<Outcome>),
}

/// Tables of one image that is written where every byte counts: more pieces than this are no
/// tables.
const MAX_PIECES: usize = 1 << 20;

fn out_of_order() -> EngineError {
    EngineError::InvalidOption { what: "a movement was asked for its steps in another order".to_owned() }
}

impl Local {
    async fn set_size(&self, size: u64) -> Result<(), EngineError> {
        let sink = self.sink.clone();
        run_blocking(move || sink.set_size(size).map_err(|error| EngineError::write(size, error))).await?
    }

    async fn zeroes(&mut self, start: u64, end: u64) -> Result<(), EngineError> {
        if start < end {
            let (sink, running) = (self.sink.clone(), self.running.clone());
            self.written +=
                run_blocking(move || pipeline::fill_zeroes(sink.as_ref(), &running, start, end)).await??;
        }
        Ok(())
    }

    /// Fills a sink that takes every byte in turn up to `at`.
    async fn reach(&mut self, at: u64) -> Result<(), EngineError> {
        match self.plan.manner {
            Manner::Append => {
                let from = std::mem::replace(&mut self.position, at);
                self.zeroes(from, at).await
            }
            Manner::Sparse | Manner::Dense => Ok(()),
        }
    }

    /// Remembers what was written, where the rest is to be made zero.
    fn cover(&mut self, start: u64, end: u64) -> Result<(), EngineError> {
        if self.plan.manner == Manner::Dense && start < end {
            match self.covered.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                Some(_) | None => self.covered.push((start, end)),
            }
        }
        match self.covered.len() <= MAX_PIECES {
            true => Ok(()),
            false => Err(EngineError::Unsupported {
                what: "writing tables in more than a million pieces to a device".to_owned(),
            }),
        }
    }

    /// Whatever was not written on a sink that held something before.
    async fn clear_the_rest(&mut self, file_size: u64) -> Result<(), EngineError> {
        let mut covered = std::mem::take(&mut self.covered);
        covered.sort_unstable();
        covered.push((file_size, file_size));
        let mut at = 0;
        for (start, end) in covered {
            self.zeroes(at, start).await?;
            at = at.max(end);
        }
        Ok(())
    }

    /// The payload of this pass is where it belongs.
    async fn settle(&mut self, pass: Pass, outcome: Outcome) -> Result<u64, EngineError> {
        let end = outcome.end;
        if pass == Pass::Dry {
            self.measured = Some(outcome.logical.finish(self.disk.size()));
            self.payload = Payload::Before;
            return Ok(end);
        }
        match self.plan.manner {
            Manner::Sparse => {}
            Manner::Dense => {
                self.zeroes(outcome.position, end).await?;
                self.cover(self.plan.layout.data_start(), end)?;
            }
            Manner::Append => {
                self.position = outcome.position;
                self.reach(end).await?;
            }
        }
        self.payload = Payload::Done(Box::new(outcome));
        Ok(end)
    }

    /// Reads the file again.
    async fn verify(&self, file_size: u64, stored: DiskDigest) -> Result<(), EngineError> {
        let (sink, progress) = (self.sink.clone(), self.running.progress.clone());
        let dense = self.plan.manner == Manner::Dense;
        let file = run_blocking(move || {
            let source = sink.read_back().map_err(|error| EngineError::read(0, file_size, error))?;
            let source = source.ok_or_else(|| EngineError::InvalidOption {
                what: "this destination cannot be read back; write without verification".to_owned(),
            })?;
            // A device may go on behind the image.
            let source: Arc<dyn BlockSource> = match dense && source.size() > file_size {
                true => Arc::new(Window::new(source, ByteRange { offset: 0, length: file_size })),
                false => source,
            };
            let limits = Limits { virtual_size: u64::MAX, ..Limits::default() };
            let file = Arc::new(Disk::from_raw(source, &limits)?);
            progress.enter(Phase::Verifying);
            progress.start(file.map().stored_bytes());
            Ok::<_, EngineError>(file)
        })
        .await??;
        match logical_digest(file, self.running.clone()).await? == stored {
            true => Ok(()),
            false => Err(EngineError::Mismatch),
        }
    }
}

#[async_trait]
impl Movement for Local {
    async fn start(&mut self, pass: Pass) -> Result<(), EngineError> {
        let progress = &self.running.progress;
        let total = self.disk.map().stored_bytes();
        match (pass, self.measured) {
            (Pass::Dry, _) => {
                progress.enter(Phase::Measuring);
                progress.start(total.saturating_mul(2));
            }
            (Pass::Write, None) => progress.start(total),
            (Pass::Write, Some(_)) => progress.enter(Phase::Moving),
        }
        if pass == Pass::Write {
            match (&self.plan.layout, self.plan.manner) {
                (_, Manner::Append) => self.reach(self.plan.layout.data_start()).await?,
                (Layout::Identity { data_start }, Manner::Sparse | Manner::Dense) => {
                    let end = data_start.checked_add(self.plan.virtual_size).ok_or(FileTooLarge)?;
                    self.set_size(end).await?;
                }
                (Layout::Units(_), Manner::Sparse | Manner::Dense) => {}
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
        let job = Job { disk: self.disk.clone(), target, running: self.running.clone() };
        let pipeline = tokio::task::spawn_blocking(move || pipeline::run(&job));
        self.payload = Payload::Under { pass, events, answers, pipeline };
        Ok(())
    }

    async fn next(&mut self) -> Result<Event, EngineError> {
        let Payload::Under { pass, events, pipeline, .. } = &mut self.payload else {
            return Err(out_of_order());
        };
        if let Some(event) = events.recv().await {
            return Ok(event);
        }
        let pass = *pass;
        let outcome = pipeline.await.map_err(|_| EngineError::WorkerLost)??;
        Ok(Event::End { end: self.settle(pass, outcome).await? })
    }

    async fn interleave(&mut self, bytes: Vec<u8>) -> Result<(), EngineError> {
        let Payload::Under { answers, .. } = &self.payload else { return Err(out_of_order()) };
        // When nobody waits for it any more, the next event says why.
        let _ = answers.send(bytes).await;
        Ok(())
    }

    async fn tables(&mut self, segments: Vec<MetadataSegment>) -> Result<(), EngineError> {
        for MetadataSegment { file_offset: at, bytes } in segments {
            let length = to_u64(bytes.len());
            let end = at.checked_add(length).ok_or(FileTooLarge)?;
            self.reach(at).await?;
            let (sink, stored) = (self.sink.clone(), self.stored.clone());
            run_blocking(move || {
                sink.write_all_at(&bytes, at).map_err(|error| EngineError::write(at, error))?;
                Ok::<(), EngineError>(stored.write(at, &bytes)?)
            })
            .await??;
            self.cover(at, end)?;
            self.position = end;
            self.written += length;
            self.running.progress.moved_out(length);
        }
        Ok(())
    }

    async fn finish(&mut self, file_size: u64, verify: bool) -> Result<Moved, EngineError> {
        let Payload::Done(outcome) = std::mem::replace(&mut self.payload, Payload::Before) else {
            return Err(out_of_order());
        };
        let Outcome { logical, stored_prefix, data_bytes, written, .. } = *outcome;
        match self.plan.manner {
            Manner::Sparse => {}
            Manner::Dense => self.clear_the_rest(file_size).await?,
            Manner::Append => self.reach(file_size).await?,
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
        let read = self.running.progress.snapshot().read;
        if verify {
            self.verify(file_size, stored).await?;
        }
        Ok(Moved {
            logical,
            stored,
            data_bytes,
            written_bytes: written + self.written,
            read_bytes: read.saturating_sub(self.read_before),
        })
    }
}
