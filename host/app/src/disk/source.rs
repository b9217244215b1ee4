//! The sources of images: a file, a block device, standard input, an object behind HTTP, an NBD
//! export.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use imprint_data_path::{
    DeviceSource, EngineError, FileSource,
    nbd::{NbdClient, NbdOptions},
};
use imprint_http_client::{Authority, HttpOptions, HttpSource, Retries, shown_url};
use imprint_ports::BlockSource;
use rustix::fs::{Mode, OFlags};

use super::{args::ReadArgs, spool, watch::Watch};
use crate::{authorities, terminal::printable};

/// The location that an argument names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// Standard input or output.
    Pipe,
    /// The URL of an object behind HTTP.
    Http(String),
    /// An export of an NBD server on this machine.
    Nbd {
        /// The path of the server's socket.
        socket: PathBuf,
        /// The name of the export; empty for the default one.
        export: String,
    },
    /// A file, or a block device.
    File(PathBuf),
}

impl Location {
    /// Parses `-`, `http://...`, `nbd+unix:///EXPORT?socket=PATH` (the NBD project's URI
    /// specification), or a path. A file whose name looks like one of these is named with `./` in
    /// front.
    pub(super) fn of(argument: &Path) -> Self {
        let Some(text) = argument.to_str() else { return Self::File(argument.to_owned()) };
        if text == spool::PIPE {
            return Self::Pipe;
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Self::Http(text.to_owned());
        }
        let export = text.strip_prefix("nbd+unix:///").and_then(|rest| rest.split_once("?socket="));
        match export {
            Some((export, socket)) => Self::Nbd { socket: PathBuf::from(socket), export: export.to_owned() },
            None => Self::File(argument.to_owned()),
        }
    }

    /// Returns the location for messages, printable.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Pipe => spool::STDIN.to_owned(),
            // Passwords and signatures are not for logs and reports.
            Self::Http(url) => printable(&shown_url(url)),
            Self::Nbd { socket, export } => {
                printable(&format!("export '{export}' of {}", socket.to_string_lossy()))
            }
            Self::File(path) => printable(&path.to_string_lossy()),
        }
    }

    /// Returns the path whose extension can declare the format.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Pipe | Self::Nbd { .. } => None,
            Self::Http(url) => {
                let address = url.split(['?', '#']).next().unwrap_or_default();
                let (_, rest) = address.split_once("://").unwrap_or_default();
                rest.find('/').map(|start| Path::new(&rest[start..]))
            }
            Self::File(path) => Some(path),
        }
    }

    /// Returns NBD options for an export. Calls end when the command is cancelled.
    pub(super) fn nbd(socket: &Path, export: &str, watch: &Watch) -> NbdOptions {
        NbdOptions { cancel: watch.options().cancel, ..NbdOptions::new(socket, export) }
    }
}

/// An open source and its metadata.
pub(super) struct Opened {
    /// The bytes.
    pub(super) source: Arc<dyn BlockSource>,
    /// The identity of a file or device, the same under every name.
    pub(super) file: Option<(u64, u64)>,
    /// The number of bytes that a file occupies.
    pub(super) allocated: Option<u64>,
}

/// Opens the location. Only for arguments: names inside images are never opened this way.
///
/// # Errors
///
/// The file cannot be opened, or the server refuses or does not answer.
pub(super) async fn open(location: &Location, read: &ReadArgs, watch: &Watch) -> Result<Opened, EngineError> {
    let shown = location.shown();
    let failed = |source| EngineError::Open { path: shown.clone(), source };
    let file = match location {
        Location::Pipe => spool::standard_input(read.spool_dir.as_deref(), watch).await?,
        Location::File(path) => open_file(path).map_err(failed)?,
        Location::Http(url) => {
            // The user who types an address could reach it by other means, too.
            let authorities = match &read.ca_file {
                Some(path) => authorities(path)?,
                None => Vec::new(),
            };
            let cancel = watch.options().cancel;
            let retries = Retries { is_over: Arc::new(move || cancel.is_cancelled()), ..Retries::default() };
            let options = HttpOptions { url: url.clone(), private_networks: true, authorities, retries };
            return remote(&shown, watch, move || Ok(HttpSource::open(&options)?)).await;
        }
        Location::Nbd { socket, export } => {
            let options = Location::nbd(socket, export, watch);
            return remote(&shown, watch, move || Ok(NbdClient::connect(&options)?)).await;
        }
    };
    let metadata = file.metadata().map_err(failed)?;
    let (source, allocated): (Arc<dyn BlockSource>, _) = if metadata.file_type().is_block_device() {
        (Arc::new(DeviceSource::from_file(file, &shown)?), None)
    } else {
        (Arc::new(FileSource::from_file(file, &shown)?), Some(metadata.blocks().saturating_mul(512)))
    };
    Ok(Opened { source, file: Some(identity(&metadata)), allocated })
}

/// Returns device and inode of a file. A block device is identified by its number, whichever node
/// it was opened by; no file system has the number 0.
pub(super) fn identity(metadata: &Metadata) -> (u64, u64) {
    if metadata.file_type().is_block_device() {
        return (0, metadata.rdev());
    }
    (metadata.dev(), metadata.ino())
}

/// Reads the certificates of a file that the user trusts.
fn authorities(path: &Path) -> Result<Vec<Authority>, EngineError> {
    let shown = printable(&path.to_string_lossy());
    authorities::read(path, &shown).map_err(|source| EngineError::Open { path: shown, source })
}

/// Connects on a thread that may block.
async fn remote<S: BlockSource + 'static>(
    shown: &str,
    watch: &Watch,
    connect: impl FnOnce() -> io::Result<S> + Send + 'static,
) -> Result<Opened, EngineError> {
    let connecting = async {
        let connected = tokio::task::spawn_blocking(connect).await.map_err(|_| EngineError::WorkerLost)?;
        connected.map_err(|source| EngineError::Open { path: shown.to_owned(), source })
    };
    let source = watch.until(connecting).await?;
    Ok(Opened { source: Arc::new(source), file: None, allocated: None })
}

/// Opens a file without blocking: opening a FIFO would wait for its writer.
fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_files_unless_they_are_addresses() {
        let of = |text: &str| Location::of(Path::new(text));
        assert_eq!(of("-"), Location::Pipe);
        assert_eq!(of("./-"), Location::File("./-".into()));
        assert_eq!(of("http://h/a.qcow2?x=1"), Location::Http("http://h/a.qcow2?x=1".into()));
        assert_eq!(of("http://h/a.qcow2?x=1").path(), Some(Path::new("/a.qcow2")));
        let nbd = Location::Nbd { socket: "/run/s".into(), export: "disk".into() };
        assert_eq!(of("nbd+unix:///disk?socket=/run/s"), nbd);
        assert_eq!(of("nbd.raw"), Location::File("nbd.raw".into()));
    }
}
