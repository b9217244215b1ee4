//! The life of a mover, from its side.

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
    message::{Command, DiskHead, FromMover, Job, Place, Preamble, Reply, SinkHead, Work},
    sandbox::{self, Bounds},
    wire,
    wire_error::WireError,
};
use crate::{
    disk::Disk,
    error::EngineError,
    map::scratch::{self, Scratch},
    transfer::{
        backend::ByteMover,
        context::Running,
        in_process::InProcess,
        progress::{Progress, ProgressSnapshot},
    },
    transport::file::{FileSink, FileSource},
    util::num::from_u32,
};

/// Between two looks at the counters.
const TICK: Duration = Duration::from_millis(50);

/// The whole life of a mover: a program that is started as one calls this before it does anything
/// else, and ends with what it returns. The host's end of the socket is its standard input.
pub fn mover_main() -> ExitCode {
    // Nobody hears what it would say; how it ends tells the host enough.
    match live() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn live() -> io::Result<()> {
    // It cannot open any file from here on.
    scratch::configure(Scratch::memory_only());
    sandbox::close_inherited()?;
    let mut control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Some(preamble) = wire::receive::<Preamble>(&mut control)? else { return Ok(()) };
    let bounds = Bounds { memory: preamble.memory, descriptors: preamble.descriptors };
    let entered = sandbox::enter(bounds).map_err(|error| error.to_string());
    wire::send(&mut control, &FromMover::Hello(entered))?;
    let Some(job) = wire::receive::<Job>(&mut control)? else { return Ok(()) };
    let task = Task::receive(&mut control, job)?;
    wire::send(&mut control, &FromMover::Ready)?;
    task.run(control)
}

/// A job with everything that it needs.
struct Task {
    work: Work,
    disks: Vec<Arc<Disk>>,
    sink: Option<Arc<dyn BlockSink>>,
    threads: NonZeroUsize,
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

impl Task {
    fn receive(control: &mut UnixStream, job: Job) -> io::Result<Self> {
        let mut descriptors = wire::receive_descriptors(control, from_u32(job.descriptors))?.into_iter();
        let streams: Vec<_> =
            descriptors.by_ref().take(from_u32(job.channels)).map(UnixStream::from).collect();
        let channels = Channels::new(streams);
        let mut number = 0u32;
        let mut sources = Vec::new();
        for disk in &job.disks {
            sources.push(open_sources(disk, &mut descriptors, &channels, &mut number)?);
        }
        let sink: Option<Arc<dyn BlockSink>> = match job.work {
            Work::Write { sink: SinkHead::Descriptor { direct }, .. } => {
                let file = descriptors.next().ok_or_else(invalid)?.into();
                let direct = if direct { Some(descriptors.next().ok_or_else(invalid)?.into()) } else { None };
                Some(Arc::new(FileSink::from_descriptors(file, direct)?))
            }
            Work::Write { sink: SinkHead::Host { fresh, append_only, preferred_write }, .. } => {
                Some(Arc::new(HostSink { channels, fresh, append_only, preferred_write }))
            }
            Work::Digest | Work::Compare => None,
        };
        let mut disks = Vec::new();
        for (head, sources) in job.disks.into_iter().zip(sources) {
            let scratch = match head.map {
                MapHead::Pieces => None,
                MapHead::Scratch { .. } => Some(descriptors.next().ok_or_else(invalid)?.into()),
            };
            let map = map::receive(control, head.size, head.map, scratch)?;
            disks.push(Arc::new(Disk::assemble(map, sources, head.codecs, head.unit)));
        }
        let threads = NonZeroUsize::new(from_u32(job.threads)).ok_or_else(invalid)?;
        Ok(Self { work: job.work, disks, sink, threads })
    }

    /// Does what the host says, until it is gone.
    fn run(&self, control: UnixStream) -> io::Result<()> {
        let replies = Arc::new(Mutex::new(control.try_clone()?));
        let commands = listen(control)?;
        let progress = Arc::new(Progress::default());
        let told = Arc::new(Mutex::new(ProgressSnapshot::default()));
        let teller = Teller { replies, progress: progress.clone(), told };
        let ticking = teller.clone();
        std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
            loop {
                std::thread::sleep(TICK);
                if ticking.progress().is_err() {
                    return;
                }
            }
        })?;
        let running = Running { threads: Some(self.threads), cancel: CancellationToken::new(), progress };
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(self.obey(&commands, &teller, &running))
    }

    async fn obey(
        &self,
        commands: &mpsc::Receiver<Command>,
        teller: &Teller,
        running: &Running,
    ) -> io::Result<()> {
        let first = self.disks.first().ok_or_else(invalid)?;
        let mut movement = match (&self.work, &self.sink) {
            (Work::Write { plan, .. }, Some(sink)) => {
                Some(InProcess.write(first, sink, plan, running).await.map_err(io::Error::other)?)
            }
            (Work::Write { .. } | Work::Digest | Work::Compare, _) => None,
        };
        while let Ok(command) = commands.recv() {
            let reply: Result<Reply, EngineError> = match (command, &mut movement) {
                (Command::Start(pass), Some(movement)) => movement.start(pass).await.map(|()| Reply::Done),
                (Command::Next, Some(movement)) => movement.next().await.map(Reply::Event),
                (Command::Tables(segments), Some(movement)) => {
                    movement.tables(segments).await.map(|()| Reply::Done)
                }
                (Command::Interleave(bytes), Some(movement)) => {
                    movement.interleave(bytes).await.map(|()| Reply::Done)
                }
                (Command::Finish { file_size, verify }, Some(movement)) => {
                    movement.finish(file_size, verify).await.map(Reply::Moved)
                }
                (Command::Run, None) => match (&self.work, self.disks.get(1)) {
                    (Work::Digest, _) => InProcess.digest(first, running).await.map(Reply::Digest),
                    (Work::Compare, Some(second)) => {
                        InProcess.compare(first, second, running).await.map(Reply::Comparison)
                    }
                    (Work::Compare | Work::Write { .. }, _) => return Err(invalid()),
                },
                (Command::Run, Some(_))
                | (
                    Command::Start(_)
                    | Command::Next
                    | Command::Interleave(_)
                    | Command::Tables(_)
                    | Command::Finish { .. },
                    None,
                ) => return Err(invalid()),
            };
            teller.progress()?;
            teller.tell(&FromMover::Reply(reply.map_err(|error| WireError::new(&error))))?;
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

/// Hears the host's commands on a thread of its own, which ends the process when the host is gone:
/// no work outlives it.
fn listen(mut control: UnixStream) -> io::Result<mpsc::Receiver<Command>> {
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

/// Tells the host things, from several threads.
#[derive(Clone)]
struct Teller {
    replies: Arc<Mutex<UnixStream>>,
    progress: Arc<Progress>,
    told: Arc<Mutex<ProgressSnapshot>>,
}

impl Teller {
    fn tell(&self, message: &FromMover) -> io::Result<()> {
        wire::send(&mut *self.replies.lock().expect("no holder of this lock panics"), message)
    }

    /// Tells the counters, if they have moved.
    fn progress(&self) -> io::Result<()> {
        let mut told = self.told.lock().expect("no holder of this lock panics");
        let now = self.progress.snapshot();
        if *told == now {
            return Ok(());
        }
        *told = now;
        self.tell(&FromMover::Progress(now))
    }
}
