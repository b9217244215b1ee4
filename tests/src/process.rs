//! Processes that a test starts and ends by their id.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// A child process with its output in a file; it is killed when the value is dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command with its standard output and error in `log`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("{} cannot be started", command.get_program().to_string_lossy()))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns what the process has printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns the exit status, if the process has ended.
    pub fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Ends the process at once, as a power cut would.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks the process to end, as an operator would, and waits until it has.
    pub async fn stop(&mut self) -> Result<std::process::ExitStatus> {
        signal(self.child.id(), Signal::TERM)?;
        crate::eventually("the process to end", async || self.ended()).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended is fine; anything else leaves a process behind, which the harness checks
        // for.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn pid(id: u32) -> Result<Pid> {
    Pid::from_raw(i32::try_from(id)?).context("0 is no process id")
}

/// Sends a signal to a process that this test is responsible for.
pub fn signal(id: u32, signal: Signal) -> Result<()> {
    Ok(kill_process(pid(id)?, signal)?)
}

/// Returns whether a process of that id exists.
pub fn is_alive(id: u32) -> bool {
    pid(id).is_ok_and(|pid| test_kill_process(pid).is_ok())
}
