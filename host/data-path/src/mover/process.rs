//! The process of a mover.

use std::{
    io,
    num::NonZeroUsize,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::ExitCode,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use imprint_ports::{BlockSink, BlockSource};
use tokio_util::sync::CancellationToken;

use super::{
    channel::{Channels, HostSink, HostSource},
    map::{self, MapHead},
    message::{
        Command, DiskHead, FromMover, MAX_READ, OperationKind, Place, Preamble, Reply, Setup, SinkHead,
    },
    sandbox::{self, Bounds},
    wire,
    wire_error::WireError,
};
use crate::{
    disk::Disk,
    error::EngineError,
    map::scratch::{self, Scratch},
    transfer::{
        backend::TransferBackend,
        context::OperationContext,
        in_process::InProcess,
        progress::{Progress, ProgressSnapshot},
    },
    transport::file::{FileSink, FileSource},
    util::{lock::lock, num::from_u32, signals::report_file_limit},
};

/// The interval at which the counters are sent.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(50);

/// Runs a mover: a program that is started as one calls this before it does anything else, and ends
/// with the returned code. The host's end of the socket is its standard input.
pub fn mover_main() -> ExitCode {
    report_file_limit();
    // It has no output for a text; its exit code is enough for the host.
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run() -> io::Result<()> {
    // It cannot open any file from here on.
    scratch::configure(Scratch::memory_only());
    sandbox::close_inherited()?;
    let mut control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Some(preamble) = wire::receive::<Preamble>(&mut control)? else { return Ok(()) };
    let bounds = Bounds { memory: preamble.memory, descriptors: preamble.descriptors };
    let entered = sandbox::enter(bounds).map_err(|error| error.to_string());
    wire::send(&mut control, &FromMover::Hello(entered))?;
    let Some(setup) = wire::receive::<Setup>(&mut control)? else { return Ok(()) };
    let process = MoverProcess::receive(&mut control, setup)?;
    wire::send(&mut control, &FromMover::Ready)?;
    process.run(control)
}

/// An operation with its operands.
struct MoverProcess {
    operation: OperationKind,
    disks: Vec<Arc<Disk>>,
    sink: Option<Arc<dyn BlockSink>>,
    threads: NonZeroUsize,
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

impl MoverProcess {
    fn receive(control: &mut UnixStream, setup: Setup) -> io::Result<Self> {
        let mut descriptors = wire::receive_descriptors(control, from_u32(setup.descriptors))?.into_iter();
        let streams: Vec<_> =
            descriptors.by_ref().take(from_u32(setup.channels)).map(UnixStream::from).collect();
        let channels = Channels::new(streams);
        let mut number = 0u32;
        let mut sources = Vec::new();
        for disk in &setup.disks {
            sources.push(open_sources(disk, &mut descriptors, &channels, &mut number)?);
        }
        let sink: Option<Arc<dyn BlockSink>> = match setup.operation {
            OperationKind::Write { sink: SinkHead::Descriptor { direct }, .. } => {
                let file = descriptors.next().ok_or_else(invalid)?.into();
                let direct = if direct { Some(descriptors.next().ok_or_else(invalid)?.into()) } else { None };
                Some(Arc::new(FileSink::from_descriptors(file, direct)?))
            }
            OperationKind::Write { sink: SinkHead::Host { fresh, append_only, preferred_write }, .. } => {
                Some(Arc::new(HostSink { channels, fresh, append_only, preferred_write }))
            }
            OperationKind::Digest | OperationKind::Compare | OperationKind::Read => None,
        };
        let mut disks = Vec::new();
        for (head, sources) in setup.disks.into_iter().zip(sources) {
            let scratch = match head.map {
                MapHead::Pieces => None,
                MapHead::Scratch { .. } => Some(descriptors.next().ok_or_else(invalid)?.into()),
            };
            let map = map::receive(control, head.size, head.map, scratch)?;
            disks.push(Arc::new(Disk::assemble(map, sources, head.codecs, head.unit)));
        }
        let threads = NonZeroUsize::new(from_u32(setup.threads)).ok_or_else(invalid)?;
        Ok(Self { operation: setup.operation, disks, sink, threads })
    }

    /// Serves the host's commands until the host is gone.
    fn run(&self, control: UnixStream) -> io::Result<()> {
        let replies = Arc::new(Mutex::new(control.try_clone()?));
        let commands = receive_commands(control)?;
        let progress = Arc::new(Progress::default());
        let sent = Arc::new(Mutex::new(ProgressSnapshot::default()));
        let replies = ReplySender { replies, progress: progress.clone(), sent };
        let ticking = replies.clone();
        std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
            loop {
                std::thread::sleep(PROGRESS_INTERVAL);
                if ticking.send_progress().is_err() {
                    return;
                }
            }
        })?;
        let context =
            OperationContext { threads: Some(self.threads), cancel: CancellationToken::new(), progress };
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(self.serve_commands(&commands, &replies, &context))
    }

    async fn serve_commands(
        &self,
        commands: &mpsc::Receiver<Command>,
        replies: &ReplySender,
        context: &OperationContext,
    ) -> io::Result<()> {
        let first = self.disks.first().ok_or_else(invalid)?;
        let mut transfer = match (&self.operation, &self.sink) {
            (OperationKind::Write { plan, .. }, Some(sink)) => {
                Some(InProcess.write(first, sink, plan, context).await.map_err(io::Error::other)?)
            }
            (
                OperationKind::Write { .. }
                | OperationKind::Digest
                | OperationKind::Compare
                | OperationKind::Read,
                _,
            ) => None,
        };
        let mut reader = first.reader();
        while let Ok(command) = commands.recv() {
            let reply: Result<Reply, EngineError> = match (command, &mut transfer) {
                (Command::Start(pass), Some(transfer)) => transfer.start(pass).await.map(|()| Reply::Done),
                (Command::Next, Some(transfer)) => transfer.next().await.map(Reply::Event),
                (Command::Tables(segments), Some(transfer)) => {
                    transfer.tables(segments).await.map(|()| Reply::Done)
                }
                (Command::Interleave(bytes), Some(transfer)) => {
                    transfer.interleave(bytes).await.map(|()| Reply::Done)
                }
                (Command::Finish { file_size, verify }, Some(transfer)) => {
                    transfer.finish(file_size, verify).await.map(Reply::Finished)
                }
                (Command::Run, None) => match (&self.operation, self.disks.get(1)) {
                    (OperationKind::Digest, _) => InProcess.digest(first, context).await.map(Reply::Digest),
                    (OperationKind::Compare, Some(second)) => {
                        InProcess.compare(first, second, context).await.map(Reply::Comparison)
                    }
                    (OperationKind::Compare | OperationKind::Write { .. } | OperationKind::Read, _) => {
                        return Err(invalid());
                    }
                },
                (Command::Read { offset, length }, None) => {
                    let mut bytes = vec![0; from_u32(length.min(MAX_READ))];
                    reader.read_at(&mut bytes, offset).map(|()| Reply::Bytes(bytes))
                }
                (Command::Run | Command::Read { .. }, Some(_))
                | (
                    Command::Start(_)
                    | Command::Next
                    | Command::Interleave(_)
                    | Command::Tables(_)
                    | Command::Finish { .. },
                    None,
                ) => return Err(invalid()),
            };
            replies.send_progress()?;
            replies.send(&FromMover::Reply(reply.map_err(|error| WireError::new(&error))))?;
        }
        Ok(())
    }
}

fn open_sources(
    disk: &DiskHead,
    descriptors: &mut impl Iterator<Item = OwnedFd>,
    channels: &Arc<Channels>,
    number: &mut u32,
) -> io::Result<Vec<Arc<dyn BlockSource>>> {
    let mut sources: Vec<Arc<dyn BlockSource>> = Vec::new();
    for head in &disk.sources {
        sources.push(match head.place {
            Place::Descriptor => {
                let file = descriptors.next().ok_or_else(invalid)?;
                Arc::new(FileSource::from_descriptor(file.into())?)
            }
            Place::Host => Arc::new(HostSource {
                channels: channels.clone(),
                source: *number,
                size: head.size,
                preferred_read: head.preferred_read,
            }),
        });
        *number += 1;
    }
    Ok(sources)
}

/// Receives the host's commands on a thread of its own, which ends the process when the host is
/// gone: no work outlives it.
fn receive_commands(mut control: UnixStream) -> io::Result<mpsc::Receiver<Command>> {
    let (sender, commands) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("commands".to_owned()).spawn(move || {
        while let Ok(Some(command)) = wire::receive(&mut control) {
            if sender.send(command).is_err() {
                break;
            }
        }
        std::process::exit(0);
    })?;
    Ok(commands)
}

/// Sends messages to the host, from several threads.
#[derive(Clone)]
struct ReplySender {
    replies: Arc<Mutex<UnixStream>>,
    progress: Arc<Progress>,
    sent: Arc<Mutex<ProgressSnapshot>>,
}

impl ReplySender {
    fn send(&self, message: &FromMover) -> io::Result<()> {
        wire::send(&mut *lock(&self.replies), message)
    }

    /// Sends the counters, if they have changed.
    fn send_progress(&self) -> io::Result<()> {
        let mut sent = lock(&self.sent);
        let now = self.progress.snapshot();
        if *sent == now {
            return Ok(());
        }
        *sent = now;
        self.send(&FromMover::Progress(now))
    }
}
