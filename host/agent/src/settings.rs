//! The settings of the agent, and its folders.

use std::{
    io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use imprint_domain::id::{InstanceId, TaskId};
use imprint_http_client::PrivateNetworks;
use rustix::process::geteuid;

/// A program that drivers may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The name by which drivers ask for it.
    pub name: String,
    /// The path of the program, which is never searched in `PATH`.
    pub path: PathBuf,
    /// The package to install when it is missing.
    pub package: String,
}

/// How the agent serves the objects of its storages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectSettings {
    /// The address to listen on; port 0 for a free one.
    pub listen: SocketAddr,
    /// The address, `HOST:PORT`, at which others reach it; `None` for the one that is listened on.
    pub address: Option<String>,
    /// Whether only the control plane reaches it, in whose process the agent is.
    pub internal: bool,
}

/// The settings of an agent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder for data; the agent's journals, results, scratch files and instances are in
    /// `agent/` below it.
    pub data_dir: PathBuf,
    /// The folder for sockets: short, because a socket's path has at most 107 bytes, and the same
    /// at every start, because running instances still listen there.
    pub run_dir: PathBuf,
    /// The programs that drivers may start, and no others.
    pub programs: Vec<Program>,
    /// Whether instances end with the agent (for demonstrations) or continue without it.
    pub stop_guests: bool,
    /// The time that a started instance has until its driver can reach it.
    pub start_deadline: Duration,
    /// The time after which a driver that has not noted the thaw of the guest's file systems is
    /// stopped and its capture undone. It backs up the guard of the channel to the guest agent,
    /// which acts earlier.
    pub freeze_watchdog: Duration,
    /// The same for the guest's processors. The time includes a sync of the journal's disk.
    pub stop_watchdog: Duration,
    /// The time that jobs have to be undone when the agent stops.
    pub stop_deadline: Duration,
    /// How objects are served; `None` for not at all.
    pub objects: Option<ObjectSettings>,
    /// The private networks that imports may read from. Storages of customers are read there only
    /// where it is all of them.
    pub import_networks: PrivateNetworks,
}

impl Settings {
    /// Returns the defaults: QEMU at its path on Debian, and instances that continue without the
    /// agent.
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
            objects: None,
            import_networks: PrivateNetworks::None,
        }
    }
}

/// The longest path of a socket in bytes, without the zero at its end (`sun_path`, unix(7)).
const MAX_SOCKET_PATH: usize = 107;

/// The reason why the agent's folders cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A folder cannot be created.
    #[error("cannot create the folder {}: {source}; check its permissions or choose another with --data-dir", path.display())]
    Create {
        /// The path of the folder.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// Sockets in the folder would have longer paths than the system accepts.
    #[error("the runtime folder {} is {length} bytes long; choose one of at most {max} bytes", path.display())]
    TooLong {
        /// The path of the folder.
        path: PathBuf,
        /// The length of its path in bytes.
        length: usize,
        /// The longest path that works, in bytes.
        max: usize,
    },
}

/// The folders of the agent, as absolute paths, because other processes get them.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    root: PathBuf,
    run: PathBuf,
}

impl Folders {
    /// Creates the folders that are missing, closed to other users.
    pub(crate) fn create(settings: &Settings) -> Result<Self, FolderError> {
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|source| FolderError::Create { path: path.to_owned(), source })
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
            &folders.uploads(),
            &folders.scratch(),
            &folders.instances(),
            &folders.run,
        ] {
            create_private(path).map_err(|source| FolderError::Create { path: path.clone(), source })?;
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

    /// Returns the folder for the logs of uploads.
    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    /// Returns the path of the scratch file of a job.
    pub(crate) fn scratch_file(&self, task: TaskId, fence: u64) -> PathBuf {
        self.scratch().join(format!("{task}.{fence}.qcow2"))
    }

    /// Returns the path of the file with the object server's certificate and key.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.root.join("objects.pem")
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

    /// Returns the folder of an instance's sockets, `qmp.sock` and `qga.sock`.
    pub(crate) fn sockets(&self, id: InstanceId) -> PathBuf {
        self.run.join(id.to_string())
    }
}

/// Creates a folder that is closed to other users. An existing one is left as it is, but must
/// belong to this user: the owner of a folder can replace what is in it.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if std::fs::metadata(path)?.uid() == geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"))
}
