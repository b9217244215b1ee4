//! A running mover. A thread of its own communicates with it: the mover runs as long as that
//! thread.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use imprint_ports::{BlockSink, BlockSource, Descriptors};
use rustix::fs::{FileType, OFlags};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        channel::Served,
        config::MoverConfig,
        error::MoverError,
        map::{self, MapHead, SendError},
        message::{
            Command, DiskHead, FromMover, OperationKind, Place, Preamble, Reply, Setup, SinkHead, SourceHead,
        },
        wire::{self, MAX_DESCRIPTORS},
        wire_error::KeptErrors,
    },
    budget::memory,
    start::{Handle, start},
};
use crate::{
    disk::Disk,
    error::EngineError,
    transfer::{
        context::OperationContext,
        pipeline,
        plan::WritePlan,
        progress::{Progress, ProgressSnapshot},
    },
    util::num::to_u64,
};

/// The largest number of reads and writes that the host does at once for one mover.
const MAX_CHANNELS: usize = 8;
/// The number of descriptors of a mover beyond those of its operation.
const OWN_DESCRIPTORS: usize = 16;

type Answer<T> = oneshot::Sender<Result<T, EngineError>>;

/// A mover that has its operation. When it is dropped, the mover is killed.
pub(super) struct Session {
    /// The channel for commands; the thread ends with it.
    commands: Option<mpsc::Sender<(Command, Answer<Reply>)>>,
    thread: Option<JoinHandle<()>>,
    handle: Arc<Handle>,
    cancel: CancellationToken,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.handle.kill();
    }
}

impl Session {
    /// Starts a mover for an operation: to write the first disk, or, without a target, to read one
    /// or two.
    pub(super) async fn open(
        config: &MoverConfig,
        disks: &[&Arc<Disk>],
        target: Option<(&Arc<dyn BlockSink>, &WritePlan)>,
        context: &OperationContext,
    ) -> Result<Self, EngineError> {
        let threads = context.threads.unwrap_or_else(pipeline::default_threads).get();
        let disks: Vec<_> = disks.iter().map(|disk| Arc::clone(disk)).collect();
        let operation = if disks.len() == 1 { OperationKind::Digest } else { OperationKind::Compare };
        Self::start(config, disks, target, operation, threads, context).await
    }

    /// Starts a mover that reads here and there from a disk.
    pub(super) async fn open_reader(
        config: &MoverConfig,
        disk: &Arc<Disk>,
        context: &OperationContext,
    ) -> Result<Self, EngineError> {
        Self::start(config, vec![disk.clone()], None, OperationKind::Read, 1, context).await
    }

    /// Starts a mover. `operation` is what it does without a target.
    async fn start(
        config: &MoverConfig,
        disks: Vec<Arc<Disk>>,
        target: Option<(&Arc<dyn BlockSink>, &WritePlan)>,
        operation: OperationKind,
        threads: usize,
        context: &OperationContext,
    ) -> Result<Self, EngineError> {
        let plan = target.map(|(_, plan)| plan);
        let mover = MoverThread {
            config: config.clone(),
            memory: memory(&disks, plan, threads),
            disks,
            target: target.map(|(sink, plan)| (sink.clone(), plan.clone())),
            operation,
            threads,
            handle: Arc::default(),
            progress: context.progress.clone(),
            reported: ProgressSnapshot::default(),
            errors: Arc::default(),
        };
        let handle = mover.handle.clone();
        let (commands, queue) = mpsc::channel();
        let (opened, opening) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("mover".to_owned())
            .spawn(move || mover.run(opened, &queue))
            .map_err(|source| MoverError::Start { source })?;
        let (commands, thread) = (Some(commands), Some(thread));
        let session = Self { commands, thread, handle, cancel: context.cancel.clone() };
        session.answer(opening).await?;
        Ok(session)
    }

    /// Sends a command to the mover and returns its answer.
    pub(super) async fn call(&mut self, command: Command) -> Result<Reply, EngineError> {
        let (answer, answered) = oneshot::channel();
        // A thread that has ended does not answer, which is noticed below.
        if let Some(commands) = &self.commands {
            let _ = commands.send((command, answer));
        }
        self.answer(answered).await
    }

    /// Sends a command to the mover and waits for its answer on this thread, which is none of the
    /// runtime's. Cancelling kills the mover, and the answer is an error then.
    pub(super) fn call_blocking(&self, command: Command) -> Result<Reply, EngineError> {
        if self.cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        let (answer, answered) = oneshot::channel();
        if let Some(commands) = &self.commands {
            let _ = commands.send((command, answer));
        }
        answered.blocking_recv().unwrap_or(Err(EngineError::WorkerLost))
    }

    /// Waits for the end of the mover once its work is done: its memory is free then, and its
    /// resource usage is counted with this process.
    pub(super) async fn close(&mut self) {
        self.handle.kill();
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has not answered, and that was reported.
            let _ = crate::util::blocking::run_blocking(move || thread.join().is_ok()).await;
        }
    }

    async fn answer<T>(&self, answered: oneshot::Receiver<Result<T, EngineError>>) -> Result<T, EngineError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => {
                self.handle.kill();
                Err(EngineError::Cancelled)
            }
            answer = answered => answer.unwrap_or(Err(EngineError::WorkerLost)),
        }
    }
}

/// Everything that the thread of a mover needs.
struct MoverThread {
    config: MoverConfig,
    disks: Vec<Arc<Disk>>,
    target: Option<(Arc<dyn BlockSink>, WritePlan)>,
    /// What it does without a target.
    operation: OperationKind,
    threads: usize,
    memory: u64,
    handle: Arc<Handle>,
    progress: Arc<Progress>,
    reported: ProgressSnapshot,
    errors: Arc<KeptErrors>,
}

/// Why there is no answer.
enum ExchangeError {
    /// The other end is gone, or violates the protocol.
    Disconnected(io::Error),
    Engine(EngineError),
}

impl From<io::Error> for ExchangeError {
    fn from(error: io::Error) -> Self {
        Self::Disconnected(error)
    }
}

impl From<MoverError> for ExchangeError {
    fn from(error: MoverError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<SendError> for ExchangeError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Stream(error) => Self::Disconnected(error),
            SendError::Map(error) => Self::Engine(error.into()),
        }
    }
}

/// What goes to the mover (descriptors), and what the host serves.
#[derive(Default)]
struct Handover<'a> {
    heads: Vec<DiskHead>,
    descriptors: Vec<BorrowedFd<'a>>,
    served: Served,
}

impl<'a> Handover<'a> {
    fn source(&mut self, source: &'a Arc<dyn BlockSource>) -> io::Result<SourceHead> {
        let descriptor = source.descriptor().filter(|_| self.descriptors.len() < MAX_DESCRIPTORS);
        let place = match descriptor {
            Some(descriptor) if is_file(descriptor)? && is_read_only(descriptor)? => {
                self.descriptors.push(descriptor);
                self.served.sources.push(None);
                Place::Descriptor
            }
            Some(_) | None => {
                self.served.sources.push(Some(source.clone()));
                Place::Host
            }
        };
        Ok(SourceHead { place, size: source.size(), preferred_read: source.preferred_read() })
    }

    fn sink(&mut self, sink: &'a Arc<dyn BlockSink>) -> io::Result<SinkHead> {
        Ok(match sink.descriptors() {
            Some(Descriptors { file, direct }) if is_file(file)? => {
                self.descriptors.push(file);
                self.descriptors.extend(direct);
                SinkHead::Descriptor { direct: direct.is_some() }
            }
            Some(_) | None => {
                self.served.sink = Some(sink.clone());
                let (fresh, append_only) = (sink.fresh(), sink.append_only());
                SinkHead::Host { fresh, append_only, preferred_write: sink.preferred_write() }
            }
        })
    }
}

/// Returns whether a descriptor is a regular file. The host moves the bytes of anything else: a
/// device or a socket can do more than be read and written.
fn is_file(descriptor: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(descriptor)?.st_mode).is_file())
}

fn is_read_only(descriptor: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(rustix::fs::fcntl_getfl(descriptor)? & OFlags::ACCMODE == OFlags::RDONLY)
}

/// A mover that has its operation.
struct StartedMover {
    control: UnixStream,
    channels: Vec<UnixStream>,
    served: Served,
}

impl MoverThread {
    /// Starts the mover, passes commands to it, and waits for its end.
    fn run(mut self, opened: Answer<()>, queue: &mpsc::Receiver<(Command, Answer<Reply>)>) {
        let StartedMover { mut control, channels, served } = match self.start() {
            Ok(started) => started,
            Err(error) => {
                let error = self.to_engine_error(error);
                self.handle.kill();
                let _ = self.handle.reap();
                let _ = opened.send(Err(error));
                return;
            }
        };
        std::thread::scope(|scope| {
            for channel in channels {
                let served = &served;
                scope.spawn(move || {
                    if let Err(error) = served.serve(channel) {
                        tracing::debug!(error = %error, "a channel of a mover ended");
                    }
                });
            }
            // Answers that are not awaited are lost with the session that asked.
            let _ = opened.send(Ok(()));
            while let Ok((command, answer)) = queue.recv() {
                // A read that fails is followed by others.
                let (reply, ended) = match self.exchange(&mut control, &command) {
                    Ok(Ok(reply)) => (Ok(reply), false),
                    Ok(Err(error)) => (Err(error), !matches!(command, Command::Read { .. })),
                    Err(error) => (Err(self.to_engine_error(error)), true),
                };
                let _ = answer.send(reply);
                if ended {
                    break;
                }
            }
            // Before waiting for the channels, which end with the mover.
            self.handle.kill();
            let _ = self.handle.reap();
        });
    }

    /// Starts the mover and hands the operation over.
    fn start(&mut self) -> Result<StartedMover, ExchangeError> {
        let mut handover = Handover { served: Served::new(self.errors.clone()), ..Handover::default() };
        for disk in &self.disks {
            let mut sources = Vec::new();
            for source in disk.sources() {
                sources.push(handover.source(source)?);
            }
            let codecs = disk.codecs().to_vec();
            let map = MapHead::of(disk.map());
            handover.heads.push(DiskHead { size: disk.size(), unit: disk.unit(), codecs, sources, map });
        }
        let sink = self.target.as_ref().map(|(sink, _)| handover.sink(sink)).transpose()?;
        let maps = self.disks.iter().filter_map(|disk| disk.map().scratch());
        handover.descriptors.extend(maps.map(|map| map.file().file().as_fd()));
        let plan = self.target.as_ref().map(|(_, plan)| plan);
        let Handover { heads, descriptors, served } = handover;
        let pairs = if served.is_idle() { 0 } else { self.threads.min(MAX_CHANNELS) };
        let pairs = (0..pairs).map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>()?;
        let all: Vec<_> = pairs.iter().map(|(_, theirs)| theirs.as_fd()).chain(descriptors).collect();
        let count = |length: usize| u32::try_from(length).expect("bounded above");
        let setup = Setup {
            operation: match plan.zip(sink) {
                Some((plan, sink)) => OperationKind::Write { plan: plan.clone(), sink },
                None => self.operation.clone(),
            },
            disks: heads,
            threads: u32::try_from(self.threads).unwrap_or(u32::MAX),
            channels: count(pairs.len()),
            descriptors: count(all.len()),
        };
        let limit = to_u64(all.len() + OWN_DESCRIPTORS);
        let preamble = Preamble { memory: self.memory, descriptors: limit };
        let (mut control, isolation) = start(&self.config, &preamble, &self.handle)?;
        if !isolation.is_full() {
            tracing::warn!(?isolation, "a mover is not fully isolated, as the operator allows");
        }
        wire::send(&mut control, &setup)?;
        wire::send_descriptors(&control, &all)?;
        for disk in &self.disks {
            map::send(&mut control, disk.map())?;
        }
        match wire::receive(&mut control)? {
            Some(FromMover::Ready) => {}
            Some(FromMover::Hello(_) | FromMover::Progress(_) | FromMover::Reply(_)) => {
                return Err(MoverError::BadAnswer { what: "no readiness".to_owned() }.into());
            }
            None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
        drop(all);
        // From here on only the mover has the other ends, so that a channel ends with it.
        let channels = pairs.into_iter().map(|(ours, _)| ours).collect();
        Ok(StartedMover { control, channels, served })
    }

    /// Sends a command and returns the mover's own answer.
    fn exchange(
        &mut self,
        control: &mut UnixStream,
        command: &Command,
    ) -> Result<Result<Reply, EngineError>, ExchangeError> {
        wire::send(control, command)?;
        loop {
            match wire::receive(control)? {
                Some(FromMover::Progress(now)) => {
                    self.progress.add_remote(self.reported, now);
                    self.reported = now;
                }
                Some(FromMover::Reply(Ok(reply))) => return Ok(Ok(reply)),
                Some(FromMover::Reply(Err(error))) => return Ok(Err(error.in_host(&self.errors))),
                Some(FromMover::Hello(_) | FromMover::Ready) => {
                    return Err(MoverError::BadAnswer { what: "a second greeting".to_owned() }.into());
                }
                None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            }
        }
    }

    /// Returns the error for a missing answer: often the mover has died, and its exit status says
    /// more than its silence.
    fn to_engine_error(&self, error: ExchangeError) -> EngineError {
        match error {
            ExchangeError::Engine(error) => error,
            ExchangeError::Disconnected(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.handle.kill();
                MoverError::BadAnswer { what: error.to_string() }.into()
            }
            ExchangeError::Disconnected(error) => match self.handle.reap() {
                Ok(status) => MoverError::died(status).into(),
                // It was never started.
                Err(_) => MoverError::Start { source: error }.into(),
            },
        }
    }
}
