//! Processes of instances. They are detached: they continue without the agent, and another agent
//! process finds them.
//!
//! `process.json` in the instance's folder identifies the process: its id and its start time in
//! clock ticks since boot, so that another process with a reused id is not mistaken for it. If the
//! agent died between the start and that record, the pid file of the process has the id; either way
//! the command line must name the instance.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::fd::OwnedFd,
    path::Path,
    process::Stdio,
    time::Duration,
};

use imprint_ports::Launch;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};
use tokio::{process::Child, time::Instant};

use crate::durable;

const VERSION: u32 = 1;
/// The time that a process has to end after each signal.
const TERMINATE_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest part of a command line that is read, in bytes.
const MAX_COMMAND_LINE: usize = 256 * 1024;
/// The time that a helper thread waits for a process at once, so that a cancelled wait soon
/// releases it.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    version: u32,
    pid: i32,
    start_ticks: u64,
}

/// A process that was verified to belong to an instance. The handle stays valid when the process id
/// is reused.
#[derive(Debug)]
pub(crate) struct Process {
    handle: OwnedFd,
}

impl Process {
    /// Returns the instance's process, if it is running. `marker` must be part of one of its
    /// arguments.
    pub(crate) fn find(record: &Path, pid_file: &Path, marker: &str) -> Option<Self> {
        let recorded = fs::read(record).ok().and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
        if let Some(Record { version: VERSION, pid, start_ticks }) = recorded
            && let Some(process) = Self::verified(pid, marker, Some(start_ticks))
        {
            return Some(process);
        }
        let pid = fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
        Self::verified(pid, marker, None)
    }

    /// Opens the handle first and reads the process then, so that both are about the same process.
    fn verified(pid: i32, marker: &str, start_ticks: Option<u64>) -> Option<Self> {
        let handle = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        let stat = Stat::of(pid)?;
        let same = start_ticks.is_none_or(|ticks| ticks == stat.start_ticks);
        (same && stat.runs && command_line_has(pid, marker)).then_some(Self { handle })
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the end of the process; returns whether it came within the limit.
    pub(crate) async fn exits_within(&self, limit: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            let handle = self.handle.try_clone()?;
            let slice = deadline.saturating_duration_since(Instant::now()).min(POLL_INTERVAL);
            if tokio::task::spawn_blocking(move || ended(&handle, slice))
                .await
                .map_err(io::Error::other)??
            {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
        }
    }

    /// Ends the process: with SIGTERM, and after [`TERMINATE_TIMEOUT`] with SIGKILL.
    pub(crate) async fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)?;
        if self.exits_within(TERMINATE_TIMEOUT).await? {
            return Ok(());
        }
        self.signal(Signal::KILL)?;
        if self.exits_within(TERMINATE_TIMEOUT).await? {
            return Ok(());
        }
        Err(io::Error::other(
            "the process did not end after SIGKILL; it hangs in the kernel, most likely on a disk",
        ))
    }
}

/// Waits until the handle is readable, which means that the process has ended. Blocks.
fn ended(handle: &OwnedFd, limit: Duration) -> io::Result<bool> {
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&limit)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The fields of `/proc/PID/stat` that are used (proc_pid_stat(5)).
struct Stat {
    runs: bool,
    start_ticks: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in parentheses, and may itself hold parentheses
        // and blanks.
        let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
        let state = fields.next()?;
        // The state is field 3, the start time is field 22.
        let start_ticks = fields.nth(18)?.parse().ok()?;
        Some(Self { runs: !matches!(state, "Z" | "X"), start_ticks })
    }
}

fn command_line_has(pid: i32, marker: &str) -> bool {
    let Ok(text) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let text = &text[..text.len().min(MAX_COMMAND_LINE)];
    text.split(|byte| *byte == 0).any(|argument| String::from_utf8_lossy(argument).contains(marker))
}

/// Starts a program, detached: its own process group, nothing to read from, its output in `log`; no
/// shell, and nothing of the agent's environment but the path.
pub(crate) fn start(program: &Path, launch: &Launch, record: &Path, log: &Path) -> io::Result<Child> {
    let output = OpenOptions::new().create(true).append(true).open(log)?;
    let errors = output.try_clone()?;
    let child = tokio::process::Command::new(program)
        .args(&launch.arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .envs(&launch.environment)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::from(File::open("/dev/null")?))
        .stdout(output)
        .stderr(errors)
        .spawn()?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    // Without it the process has ended already; the wait for it to be ready reports that.
    if let Some((pid, stat)) = pid.and_then(|pid| Some((pid, Stat::of(pid)?))) {
        let bytes = serde_json::to_vec(&Record { version: VERSION, pid, start_ticks: stat.start_ticks })?;
        durable::write(record, &bytes)?;
    }
    Ok(child)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that has the marker in one of its arguments and waits for nothing.
    fn sleeper(folder: &Path, marker: &str) -> Child {
        let file = folder.join(marker);
        fs::write(&file, b"").unwrap();
        let launch = Launch {
            program: "tail".to_owned(),
            arguments: vec!["-f".to_owned(), file.display().to_string()],
            environment: [("GIVEN".to_owned(), "1".to_owned())].into(),
        };
        start(Path::new("/usr/bin/tail"), &launch, &folder.join("process.json"), &folder.join("log")).unwrap()
    }

    #[tokio::test]
    async fn a_process_is_found_again_and_terminated() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let child = sleeper(folder.path(), "ins_found");
        let pid = child.id().unwrap();
        let find = |marker: &str| Process::find(&path("process.json"), &path("pid"), marker);
        assert!(find("ins_other").is_none(), "another instance's process is not taken");
        let process = find("ins_found").unwrap();
        let group = rustix::process::getpgid(Pid::from_raw(i32::try_from(pid).unwrap())).unwrap();
        assert_eq!(group.as_raw_nonzero().get(), i32::try_from(pid).unwrap());
        assert!(!process.exits_within(Duration::from_millis(10)).await.unwrap());
        process.terminate().await.unwrap();
        assert!(find("ins_found").is_none(), "a dead process is not found, reaped or not");
        drop(child);
    }

    #[tokio::test]
    async fn without_the_record_the_pid_file_leads_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let child = sleeper(folder.path(), "ins_pidfile");
        fs::write(path("pid"), format!("{}\n", child.id().unwrap())).unwrap();
        fs::remove_file(path("process.json")).unwrap();
        let process = Process::find(&path("process.json"), &path("pid"), "ins_pidfile").unwrap();
        process.terminate().await.unwrap();
        // The id of this process with another start time: a reused id.
        let reused =
            Record { version: VERSION, pid: i32::try_from(std::process::id()).unwrap(), start_ticks: 1 };
        fs::write(path("process.json"), serde_json::to_vec(&reused).unwrap()).unwrap();
        assert!(Process::find(&path("process.json"), &path("pid"), "").is_none());
    }
}
