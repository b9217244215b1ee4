//! Starting the process of a mover, and ending it.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Mutex,
    time::Duration,
};

use super::super::{
    config::MoverConfig,
    error::MoverError,
    message::{FromMover, Preamble},
    sandbox::Isolation,
    wire,
};

use crate::util::lock::lock;

/// The longest time in which a mover enters its sandbox.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// The time in which a mover that has closed its socket may end by itself, so that its exit status
/// is known.
const EXIT_GRACE: Duration = Duration::from_millis(500);

/// The process of a mover. It is killed at the latest when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Handle(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    NotStarted,
    Running(Child),
    /// Nothing is started any more, or the process has ended.
    Ended,
}

impl Handle {
    /// Keeps the process; kills it if it is not wanted any more.
    fn started(&self, mut child: Child) {
        let mut state = lock(&self.0);
        match *state {
            State::NotStarted | State::Running(_) => *state = State::Running(child),
            State::Ended => end(&mut child),
        }
    }

    /// Kills the process.
    pub(super) fn kill(&self) {
        let mut state = lock(&self.0);
        match &mut *state {
            // The thread that started it waits for its end.
            State::Running(child) => {
                if let Err(error) = child.kill() {
                    tracing::warn!(error = %error, "a mover cannot be killed");
                }
            }
            State::NotStarted => *state = State::Ended,
            State::Ended => {}
        }
    }

    /// Waits for the end of the process. One that does not end by itself is killed.
    pub(super) fn reap(&self) -> io::Result<ExitStatus> {
        let mut state = lock(&self.0);
        match std::mem::replace(&mut *state, State::Ended) {
            State::Running(mut child) => {
                drop(state);
                await_end(&child);
                end(&mut child);
                child.wait()
            }
            State::NotStarted | State::Ended => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let state = self.0.get_mut().expect("no holder of this lock panics");
        if let State::Running(child) = state {
            end(child);
        }
    }
}

fn end(child: &mut Child) {
    // It fails only for a process that is waited for already.
    let _ = child.kill();
    let _ = child.wait();
}

/// Waits a little for a process that is about to end.
fn await_end(child: &Child) {
    let number = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let Some(number) = number else { return };
    let flags = rustix::process::PidfdFlags::empty();
    let Ok(process) = rustix::process::pidfd_open(number, flags) else { return };
    let mut ends = [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)];
    let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: i64::from(EXIT_GRACE.subsec_nanos()) };
    // Interrupted or not: it is killed now.
    let _ = rustix::event::poll(&mut ends, Some(&timeout));
}

/// Starts a mover, and returns when it is in its sandbox. The calling thread must live as long as
/// the mover: the mover ends with it. Blocks.
pub(super) fn start(
    config: &MoverConfig,
    preamble: &Preamble,
    handle: &Handle,
) -> Result<(UnixStream, Isolation), MoverError> {
    let failed = |source| MoverError::Start { source };
    let (mut ours, theirs) = UnixStream::pair().map_err(failed)?;
    let child = Command::new(&config.program)
        .args(&config.args)
        .env_clear()
        // One heap for all threads: each of glibc's arenas would take 64 MiB of address space, and
        // threads that move bytes allocate next to nothing.
        .env("MALLOC_ARENA_MAX", "1")
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    handle.started(child);
    ours.set_read_timeout(Some(START_TIMEOUT)).map_err(failed)?;
    let hello = wire::send(&mut ours, preamble).and_then(|()| wire::receive(&mut ours));
    ours.set_read_timeout(None).map_err(failed)?;
    let isolation = match hello {
        Ok(Some(FromMover::Hello(Ok(isolation)))) => isolation,
        Ok(Some(FromMover::Hello(Err(text)))) => return Err(MoverError::Sandbox { missing: text }),
        Ok(Some(FromMover::Ready | FromMover::Progress(_) | FromMover::Reply(_))) => {
            return Err(MoverError::BadAnswer { what: "no greeting".to_owned() });
        }
        Ok(None) => return Err(handle.reap().map_or_else(failed, MoverError::died)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(failed(io::ErrorKind::TimedOut.into()));
        }
        // The socket is closed: how the process ended is the reason.
        Err(error) => return Err(handle.reap().map_or_else(|_| failed(error), MoverError::died)),
    };
    if isolation.is_full() || config.best_effort {
        Ok((ours, isolation))
    } else {
        Err(MoverError::Sandbox { missing: missing(isolation).to_owned() })
    }
}

fn missing(isolation: Isolation) -> &'static str {
    match (isolation.landlock, isolation.seccomp) {
        (false, false) => "neither Landlock nor seccomp filters are available",
        (false, true) => "Landlock is not available",
        (true, false) => "seccomp filters are not available",
        (true, true) => "nothing is missing",
    }
}

impl MoverConfig {
    /// Starts one mover, reads which parts of the sandbox are in force, and ends it. Blocks.
    ///
    /// # Errors
    ///
    /// Any [`MoverError`].
    pub fn probe(&self) -> Result<Isolation, MoverError> {
        let handle = Handle::default();
        let config = Self { best_effort: true, ..self.clone() };
        let preamble = Preamble { memory: 64 << 20, descriptors: 16 };
        start(&config, &preamble, &handle).map(|(_, isolation)| isolation)
    }
}
