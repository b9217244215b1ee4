//! What a command writes to: a file, standard output, an NBD export.

use std::{fs::File, io::IsTerminal, os::fd::AsFd, sync::Arc};

use imprint_data_path::{
    EngineError,
    durable::Durability,
    io::{AppendSink, BlockSink},
    nbd::{NbdOptions, NbdSink},
};

use super::{failure::Failure, source::Location, target::Target, watch::Watch};

/// What messages call it.
const STDOUT: &str = "standard output";

/// Where an image goes.
pub(super) enum Destination {
    /// A file, whole or not at all.
    File(Target),
    /// Standard output, from the first byte to the last.
    Stream,
    /// A device behind NBD, which holds something already.
    Device {
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
            Location::File(path) => Ok(Self::File(Target::new(path, force, sources)?)),
            Location::Pipe if std::io::stdout().is_terminal() => Err(Failure::usage(
                "invalid.target",
                "an image is not written to a terminal; pipe standard output to a program or a file",
            )),
            Location::Pipe => Ok(Self::Stream),
            Location::Nbd { .. } if !force => Err(Failure::usage(
                "invalid.target",
                format!("{} holds something already; replace it with --force", location.shown()),
            )),
            Location::Nbd { socket, export } => {
                Ok(Self::Device { options: Location::nbd(socket, export, watch), shown: location.shown() })
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
            Self::Device { shown, .. } => shown,
        }
    }

    /// Whether standard output is taken: then answers go to standard error.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream)
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
            Self::Device { options, shown } => {
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
            Self::Stream | Self::Device { .. } => Ok(None),
        }
    }

    /// Makes it visible, where that is a step of its own.
    pub(super) async fn publish(self, durability: Durability) -> Result<(), EngineError> {
        match self {
            Self::File(target) => target.publish(durability).await,
            Self::Stream | Self::Device { .. } => Ok(()),
        }
    }
}
