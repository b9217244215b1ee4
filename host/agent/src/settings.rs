//! What the agent is told at its start, and where it keeps things.

use std::{
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use imprint_domain::id::{InstanceId, TaskId};
use rustix::process::geteuid;

/// A program that drivers may have run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// What a driver calls it.
    pub name: String,
    /// Where it is. Never looked up in `PATH`.
    pub path: PathBuf,
    /// What to install when it is missing.
    pub package: String,
}

/// Settings of an agent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its files are in `agent/` below it: journal, results, scratch files, instances.
    pub data_dir: PathBuf,
    /// For sockets: short, because a socket's path has at most 107 bytes, and the same at every
    /// start, because instances that outlived an agent still listen there.
    pub run_dir: PathBuf,
    /// Programs that drivers may have run, and no others.
    pub programs: Vec<Program>,
    /// Whether instances end with the agent (for demonstrations), or go on without it.
    pub stop_guests: bool,
    /// How long a started instance may take until its driver can speak to it.
    pub start_deadline: Duration,
    /// After this a driver that does not say that it thawed the guest's file systems is abandoned
    /// and its work undone. The bound that counts is the guard of the channel to the guest agent;
    /// this one stands behind it.
    pub freeze_watchdog: Duration,
    /// The same for the guest's processors. Its clock includes a sync of the journal's disk.
    pub stop_watchdog: Duration,
    /// How long work may take to undo itself when the agent stops.
    pub stop_deadline: Duration,
}

impl Settings {
    /// The defaults: QEMU where Debian puts it, instances outlive the agent.
    pub fn new(data_dir: PathBuf, run_dir: PathBuf) -> Self {
        Self {
            data_dir,
            run_dir,
            programs: vec![Program {
                name: "qemu-system-x86_64".to_owned(),
                path: PathBuf::from("/usr/bin/qemu-system-x86_64"),
                package: "qemu-system-x86".to_owned(),
            }],
            stop_guests: false,
            start_deadline: Duration::from_secs(30),
            freeze_watchdog: Duration::from_secs(15),
            stop_watchdog: Duration::from_secs(5),
            stop_deadline: Duration::from_secs(60),
        }
    }
}

/// Longest path of a socket, without the zero at its end.
const MAX_SOCKET_PATH: usize = 107;

/// Why the folders cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Making one failed.
    #[error("cannot make the folder {}: {source}; check its permissions or choose another with --data-dir", path.display())]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Sockets in it would have paths that the system does not take.
    #[error("the runtime folder {} is {length} bytes long; choose one of at most {max} bytes", path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
        /// Its length.
        length: usize,
        /// The longest that works.
        max: usize,
    },
}

/// Where the agent keeps things. Absolute paths: other processes are told them.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    root: PathBuf,
    run: PathBuf,
}

impl Folders {
    /// Makes what is missing; nobody but the agent's user can look in.
    pub(crate) fn make(settings: &Settings) -> Result<Self, FolderError> {
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|source| FolderError::Make { path: path.to_owned(), source })
        };
        let root = absolute(&settings.data_dir)?.join("agent");
        let run = absolute(&settings.run_dir)?;
        let length = run.as_os_str().len();
        // The longest socket: `/`, an instance's id of 40 bytes, and `/qmp.sock`; those of exports
        // are shorter.
        let max = MAX_SOCKET_PATH - 50;
        if length > max {
            return Err(FolderError::TooLong { path: run, length, max });
        }
        let folders = Self { root, run };
        for path in [
            &folders.root,
            &folders.journal(),
            &folders.results(),
            &folders.scratch(),
            &folders.instances(),
            &folders.run,
        ] {
            make_private(path).map_err(|source| FolderError::Make { path: path.clone(), source })?;
        }
        Ok(folders)
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    pub(crate) fn results(&self) -> PathBuf {
        self.root.join("results")
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    /// The scratch file of one piece of work.
    pub(crate) fn scratch_file(&self, task: TaskId, fence: u64) -> PathBuf {
        self.scratch().join(format!("{task}.{fence}.qcow2"))
    }

    pub(crate) fn instances(&self) -> PathBuf {
        self.root.join("instances")
    }

    pub(crate) fn instance(&self, id: InstanceId) -> PathBuf {
        self.instances().join(id.to_string())
    }

    pub(crate) fn run(&self) -> &Path {
        &self.run
    }

    /// The folder of an instance's sockets: `qmp.sock` and `qga.sock`.
    pub(crate) fn sockets(&self, id: InstanceId) -> PathBuf {
        self.run.join(id.to_string())
    }
}

/// Makes a folder that is closed to others. One that is there is left as it is, but it must be
/// ours: whoever owns a folder can put something else in the place of what we keep there.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if std::fs::metadata(path)?.uid() == geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"))
}
