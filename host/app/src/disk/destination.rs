//! The targets of `convert`: a file, a block device, standard output, an NBD export.

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

/// The name of standard output in messages.
const STDOUT: &str = "standard output";

/// The target of an image.
pub(super) enum Destination {
    /// A new file, which appears complete or not at all.
    File(Target),
    /// Standard output, from the first byte to the last.
    Stream,
    /// A block device of this machine, whose content is replaced.
    Device {
        /// The open device.
        sink: Arc<DeviceSink>,
        /// The path, for messages.
        shown: String,
    },
    /// A device behind NBD, whose content is replaced.
    Nbd {
        /// The address of the export.
        options: NbdOptions,
        /// The export, for messages.
        shown: String,
    },
}

impl Destination {
    /// Chooses the target. `sources` are the device and inode of the files that are read.
    ///
    /// # Errors
    ///
    /// The target exists (without `force`), is a source, is in use, or cannot be a target.
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
                "an image cannot be written to a terminal; redirect standard output to a file or a program",
            )),
            Location::Pipe => {
                // Standard output may be a file that was opened without being emptied.
                let stream = std::io::stdout().as_fd().try_clone_to_owned().map(File::from);
                if let Ok(found) = stream.and_then(|stream| stream.metadata()) {
                    target::not_a_source(&found, sources, STDOUT)?;
                }
                Ok(Self::Stream)
            }
            Location::Nbd { socket, export } => {
                let shown = location.shown();
                forced(force, &shown)?;
                Ok(Self::Nbd { options: Location::nbd(socket, export, watch), shown })
            }
            Location::Http(_) => Err(Failure::usage(
                "invalid.target",
                "an image cannot be written to an HTTP address; write to a file, or pipe to a program that uploads it",
            )),
        }
    }

    /// Returns the target as it was given, for messages.
    pub(super) fn shown(&self) -> &str {
        match self {
            Self::File(target) => target.shown(),
            Self::Stream => STDOUT,
            Self::Device { shown, .. } | Self::Nbd { shown, .. } => shown,
        }
    }

    /// Returns whether the image goes to standard output. Answers then go to standard error.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream)
    }

    /// Returns the size of a device in bytes. Data behind the image stays as it is.
    pub(super) fn device_size(&self) -> Option<u64> {
        match self {
            Self::Device { sink, .. } => Some(sink.size()),
            Self::File(_) | Self::Stream | Self::Nbd { .. } => None,
        }
    }

    /// Returns whether written data stays if writing fails.
    pub(super) fn keeps_parts(&self) -> bool {
        match self {
            Self::Device { .. } | Self::Nbd { .. } => true,
            // The reader of the stream sees that it ends too early.
            Self::File(_) | Self::Stream => false,
        }
    }

    /// Opens the target for writing.
    ///
    /// # Errors
    ///
    /// The file cannot be made, or the server of the export does not answer.
    pub(super) async fn sink(&self) -> Result<Arc<dyn BlockSink>, EngineError> {
        match self {
            Self::File(target) => target.sink(),
            Self::Stream => {
                // Not through the standard library's buffer, which searches for line feeds.
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

    /// Returns the SHA-256 of the written file in hex; `None` if the target cannot be read.
    ///
    /// # Errors
    ///
    /// Reading the file fails.
    pub(super) async fn sha256(&self) -> Result<Option<String>, EngineError> {
        match self {
            Self::File(target) => Ok(Some(target.sha256().await?)),
            Self::Stream | Self::Device { .. } | Self::Nbd { .. } => Ok(None),
        }
    }

    /// Makes a new file visible under its name. Other targets are complete already.
    ///
    /// # Errors
    ///
    /// The file cannot be synced or renamed, or its name is taken by now.
    pub(super) async fn publish(self, durability: Durability) -> Result<(), EngineError> {
        match self {
            Self::File(target) => target.publish(durability).await,
            Self::Stream | Self::Device { .. } | Self::Nbd { .. } => Ok(()),
        }
    }
}

fn forced(force: bool, shown: &str) -> Result<(), Failure> {
    if force {
        return Ok(());
    }
    let text = format!("the content of {shown} would be replaced; allow that with --force");
    Err(Failure::usage("invalid.target", text))
}

/// Opens a device exclusively: one that is mounted, or part of another one, is refused (open(2),
/// `O_EXCL`).
fn open_device(path: &Path, shown: &str) -> Result<DeviceSink, Failure> {
    let flags = OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    if opened.as_ref().err() == Some(&Errno::BUSY) {
        let text = format!("{shown} is in use; unmount it and stop the programs that use it first");
        return Err(Failure::failed("io.in-use", text));
    }
    opened
        .map_err(|error| EngineError::Open { path: shown.to_owned(), source: error.into() })
        .map_err(|error| Failure::engine(shown, &error))
        .map(File::from)
        .and_then(|device| target::not_in_use(&device, shown).map(|()| device))
        .and_then(|device| {
            DeviceSink::from_file(device, shown).map_err(|error| Failure::engine(shown, &error))
        })
}
