//! Work on bytes on the threads of this process.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{ByteMover, Event, Moved, Movement, Running, WritePlan};
use crate::{
    digest::{DigestBuilder, DiskDigest, StoredDigest},
    disk::{Disk, offload},
    error::EngineError,
    io::BlockSink,
    num::to_u64,
    pipeline::{self, Job, Outcome, REPORTS, Target},
    place::{FileTooLarge, Layout},
    ports::Segment,
    tools::{self, Comparison},
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
        let read_before = running.progress.snapshot().read;
        Ok(Box::new(Local {
            disk: disk.clone(),
            sink: sink.clone(),
            plan: plan.clone(),
            running: running.clone(),
            stored: Arc::default(),
            read_before,
            table_bytes: 0,
            payload: Payload::Before,
        }))
    }

    async fn digest(&self, disk: &Arc<Disk>, running: &Running) -> Result<DiskDigest, EngineError> {
        let job = Job { disk: disk.clone(), target: Target::Nothing, running: running.clone() };
        let outcome = offload(move || pipeline::run(&job)).await??;
        disk.check_unchanged()?;
        Ok(outcome.logical.finish(disk.size()))
    }

    async fn compare(
        &self,
        first: &Arc<Disk>,
        second: &Arc<Disk>,
        running: &Running,
    ) -> Result<Comparison, EngineError> {
        let (first, second, running) = (first.clone(), second.clone(), running.clone());
        offload(move || tools::compare_blocking(&first, &second, &running)).await?
    }
}

struct Local {
    disk: Arc<Disk>,
    sink: Arc<dyn BlockSink>,
    plan: WritePlan,
    running: Running,
    stored: Arc<StoredDigest>,
    read_before: u64,
    table_bytes: u64,
    payload: Payload,
}

/// How far the payload is.
enum Payload {
    Before,
    Under { events: mpsc::Receiver<Event>, pipeline: JoinHandle<Result<Outcome, EngineError>> },
    Done(Box<Outcome>),
}

fn out_of_order() -> EngineError {
    EngineError::InvalidOption { what: "a movement was asked for its steps in another order".to_owned() }
}

impl Local {
    async fn set_size(&self, size: u64) -> Result<(), EngineError> {
        let sink = self.sink.clone();
        offload(move || sink.set_size(size).map_err(|error| EngineError::write(size, error))).await?
    }
}

#[async_trait]
impl Movement for Local {
    async fn start(&mut self) -> Result<(), EngineError> {
        if let Layout::Identity { data_start } = self.plan.layout {
            let end = data_start.checked_add(self.plan.virtual_size).ok_or(FileTooLarge)?;
            self.set_size(end).await?;
        }
        let (sender, events) = mpsc::channel(REPORTS);
        let job = Job {
            disk: self.disk.clone(),
            target: Target::File {
                sink: self.sink.clone(),
                plan: self.plan.clone(),
                stored: self.stored.clone(),
                events: sender,
            },
            running: self.running.clone(),
        };
        let pipeline = tokio::task::spawn_blocking(move || pipeline::run(&job));
        self.payload = Payload::Under { events, pipeline };
        Ok(())
    }

    async fn next(&mut self) -> Result<Event, EngineError> {
        let Payload::Under { events, pipeline } = &mut self.payload else { return Err(out_of_order()) };
        if let Some(event) = events.recv().await {
            return Ok(event);
        }
        let outcome = pipeline.await.map_err(|_| EngineError::WorkerLost)??;
        let end = outcome.end;
        self.payload = Payload::Done(Box::new(outcome));
        Ok(Event::End { end })
    }

    async fn tables(&mut self, segments: Vec<Segment>) -> Result<(), EngineError> {
        let bytes: u64 = segments.iter().map(|segment| to_u64(segment.bytes.len())).sum();
        let (sink, stored) = (self.sink.clone(), self.stored.clone());
        offload(move || {
            segments.iter().try_for_each(|segment| {
                let at = segment.file_offset;
                sink.write_all_at(&segment.bytes, at).map_err(|error| EngineError::write(at, error))?;
                Ok::<(), EngineError>(stored.write(at, &segment.bytes)?)
            })
        })
        .await??;
        self.table_bytes += bytes;
        self.running.progress.moved_out(bytes);
        Ok(())
    }

    async fn finish(&mut self, file_size: u64) -> Result<Moved, EngineError> {
        let Payload::Done(outcome) = std::mem::replace(&mut self.payload, Payload::Before) else {
            return Err(out_of_order());
        };
        let Outcome { logical, stored_prefix, data_bytes, written, .. } = *outcome;
        self.set_size(file_size).await?;
        let (disk, sink, durable) = (self.disk.clone(), self.sink.clone(), self.plan.durable);
        offload(move || {
            if durable {
                sink.sync().map_err(|error| EngineError::write(0, error))?;
            }
            disk.check_unchanged()
        })
        .await??;
        let prefix = match self.plan.layout {
            Layout::Identity { data_start: 0 } => stored_prefix,
            Layout::Identity { .. } | Layout::Units(_) => DigestBuilder::new(),
        };
        let stored = Arc::into_inner(std::mem::take(&mut self.stored)).ok_or(EngineError::WorkerLost)?;
        Ok(Moved {
            logical: logical.finish(self.disk.size()),
            stored: stored.finish(prefix, file_size),
            data_bytes,
            written_bytes: written + self.table_bytes,
            read_bytes: self.running.progress.snapshot().read.saturating_sub(self.read_before),
        })
    }
}
