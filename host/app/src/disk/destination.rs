//! What a command writes to: a file, a block device, standard output, an NBD export.

use std::{
    fs::File,
    io::IsTerminal,
    os::{fd::AsFd, unix::fs::FileTypeExt},
    path::Path,
    sync::Arc,
};

use imprint_data_path::{
    AppendSink, DeviceSink, EngineError,
    nbd::{NbdOptions, NbdSink},
};
use imprint_ports::{BlockSink, durable::Durability};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use super::{
    failure::Failure,
    source::Location,
    target::{self, Target},
    watch::Watch,
};

/// What messages call it.
const STDOUT: &str = "standard output";

/// Where an image goes.
pub(super) enum Destination {
    /// A file, whole or not at all.
    File(Target),
    /// Standard output, from the first byte to the last.
    Stream,
    /// A block device of this machine, which holds something already.
    Device {
        sink: Arc<DeviceSink>,
        /// For people.
        shown: String,
    },
    /// A device behind NBD, which holds something already.
    Nbd {
        /// How to reach it.
        options: NbdOptions,
        /// For people.
        shown: String,
    },
}

impl Destination {
    /// Decides where the image goes. `sources` are the device and inode of files that are read.
    pub(super) fn new(
        location: &Location,
        force: bool,
        sources: &[(u64, u64)],
        watch: &Watch,
    ) -> Result<Self, Failure> {
        match location {
            Location::File(path) => match std::fs::metadata(path) {
                Ok(found) if found.file_type().is_block_device() => {
                    let shown = location.shown();
                    target::not_a_source(&found, sources, &shown)?;
                    forced(force, &shown)?;
                    Ok(Self::Device { sink: Arc::new(open_device(path, &shown)?), shown })
                }
                Ok(_) | Err(_) => Ok(Self::File(Target::new(path, force, sources)?)),
            },
            Location::Pipe if std::io::stdout().is_terminal() => Err(Failure::usage(
                "invalid.target",
                "an image is not written to a terminal; pipe standard output to a program or a file",
            )),
            Location::Pipe => Ok(Self::Stream),
            Location::Nbd { socket, export } => {
                let shown = location.shown();
                forced(force, &shown)?;
                Ok(Self::Nbd { options: Location::nbd(socket, export, watch), shown })
            }
            Location::Http(_) => Err(Failure::usage(
                "invalid.target",
                "images cannot be written to an HTTP address; write to a file, or pipe to a program that uploads it",
            )),
        }
    }

    /// The destination as it was given, for people.
    pub(super) fn shown(&self) -> &str {
        match self {
            Self::File(target) => target.shown(),
            Self::Stream => STDOUT,
            Self::Device { shown, .. } | Self::Nbd { shown, .. } => shown,
        }
    }

    /// Whether standard output is taken: then answers go to standard error.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream)
    }

    /// What a device has in bytes: what lies behind the image stays as it is.
    pub(super) fn device_size(&self) -> Option<u64> {
        match self {
            Self::Device { sink, .. } => Some(sink.size()),
            Self::File(_) | Self::Stream | Self::Nbd { .. } => None,
        }
    }

    /// Whether what was written stays when the rest cannot be.
    pub(super) fn keeps_parts(&self) -> bool {
        match self {
            Self::Device { .. } | Self::Nbd { .. } => true,
            // Whoever reads the stream sees that it ends too early.
            Self::File(_) | Self::Stream => false,
        }
    }

    /// Opens it for writing.
    pub(super) async fn sink(&self) -> Result<Arc<dyn BlockSink>, EngineError> {
        match self {
            Self::File(target) => target.sink(),
            Self::Stream => {
                // Not through the library's buffer, which looks for line ends.
                let stream = std::io::stdout().as_fd().try_clone_to_owned();
                let stream =
                    stream.map_err(|source| EngineError::Open { path: STDOUT.to_owned(), source })?;
                Ok(Arc::new(AppendSink::new(File::from(stream))))
            }
            Self::Device { sink, .. } => Ok(sink.clone()),
            Self::Nbd { options, shown } => {
                let options = options.clone();
                let connecting = tokio::task::spawn_blocking(move || NbdSink::connect(&options)).await;
                let connected = connecting.map_err(|_| EngineError::WorkerLost)?;
                let sink = connected
                    .map_err(|error| EngineError::Open { path: shown.clone(), source: error.into() })?;
                Ok(Arc::new(sink))
            }
        }
    }

    /// SHA-256 of what was written, in hex, where it can be read again.
    pub(super) async fn sha256(&self) -> Result<Option<String>, EngineError> {
        match self {
            Self::File(target) => Ok(Some(target.sha256().await?)),
            Self::Stream | Self::Device { .. } | Self::Nbd { .. } => Ok(None),
        }
    }

    /// Makes it visible, where that is a step of its own.
    pub(super) async fn publish(self, durability: Durability) -> Result<(), EngineError> {
        match self {
            Self::File(target) => target.publish(durability).await,
            Self::Stream | Self::Device { .. } | Self::Nbd { .. } => Ok(()),
        }
    }
}

fn forced(force: bool, shown: &str) -> Result<(), Failure> {
    match force {
        true => Ok(()),
        false => Err(Failure::usage(
            "invalid.target",
            format!("{shown} holds something already; replace it with --force"),
        )),
    }
}

/// For this command alone: a device that is mounted, or part of another one, is left alone
/// (open(2), `O_EXCL`).
fn open_device(path: &Path, shown: &str) -> Result<DeviceSink, Failure> {
    let flags = OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    if opened.as_ref().err() == Some(&Errno::BUSY) {
        let text = format!("{shown} is in use; unmount it, and stop what uses it, before it is written");
        return Err(Failure::failed("io.in-use", text));
    }
    opened
        .map_err(|error| EngineError::Open { path: shown.to_owned(), source: error.into() })
        .and_then(|device| DeviceSink::from_file(File::from(device), shown))
        .map_err(|error| Failure::engine(shown, &error))
}
